//go:build !race && unix

package evloop

const raceDetector = false
