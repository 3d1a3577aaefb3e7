//go:build unix && !linux

package store

const noReserve = 0

func huge([]byte) {}
