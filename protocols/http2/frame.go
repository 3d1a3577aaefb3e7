package http2

import "encoding/binary"

// The frame types of RFC 9113 section 6.
const (
	fData byte = iota
	fHeaders
	fPriority
	fRstStream
	fSettings
	fPushPromise
	fPing
	fGoAway
	fWindowUpdate
	fContinuation
)

// The flags.
const (
	flagAck        = 0x1 // SETTINGS, PING
	flagEndStream  = 0x1
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20
)

// The settings that matter here.
const (
	setTable      = 1
	setPush       = 2
	setStreams    = 3
	setWindow     = 4
	setFrame      = 5
	setHeaderList = 6
)

// code is an error of RFC 9113 section 7.
type code uint32

const (
	noError          code = 0
	protocolError    code = 1
	internalError    code = 2
	flowControlError code = 3
	streamClosed     code = 5
	frameSizeError   code = 6
	refusedStream    code = 7
	cancel           code = 8
	compressionError code = 9
	enhanceYourCalm  code = 11
)

const (
	headLen   = 9       // of a frame
	maxFrame  = 1 << 14 // the payload we take, and the longest we send
	maxWindow = 1<<31 - 1
)

// frame is the head of one.
type frame struct {
	length int
	kind   byte
	flags  byte
	stream uint32
}

// parseHead reads the head of a frame; in holds headLen bytes.
func parseHead(in []byte) frame {
	return frame{
		length: int(in[0])<<16 | int(in[1])<<8 | int(in[2]), kind: in[3], flags: in[4],
		stream: binary.BigEndian.Uint32(in[5:]) &^ (1 << 31),
	}
}

func appendHead(dst []byte, length int, kind, flags byte, stream uint32) []byte {
	return append(dst, byte(length>>16), byte(length>>8), byte(length), kind, flags,
		byte(stream>>24), byte(stream>>16), byte(stream>>8), byte(stream))
}

func appendSetting(dst []byte, id uint16, value uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(dst, id), value)
}

func appendReset(dst []byte, stream uint32, c code) []byte {
	return binary.BigEndian.AppendUint32(appendHead(dst, 4, fRstStream, 0, stream), uint32(c))
}

func appendWindow(dst []byte, stream uint32, more int) []byte {
	return binary.BigEndian.AppendUint32(appendHead(dst, 4, fWindowUpdate, 0, stream), uint32(more))
}

// appendGoAway says why the connection ends; the text is for whoever debugs the client.
func appendGoAway(dst []byte, last uint32, c code, text string) []byte {
	dst = appendHead(dst, 8+len(text), fGoAway, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, last)
	dst = binary.BigEndian.AppendUint32(dst, uint32(c))
	return append(dst, text...)
}

// unpad returns the payload of a DATA or HEADERS frame without its padding.
func unpad(f frame, p []byte) (body []byte, ok bool) {
	if f.flags&flagPadded == 0 {
		return p, true
	}
	if len(p) == 0 || int(p[0]) >= len(p) {
		return nil, false
	}
	return p[1 : len(p)-int(p[0])], true
}
