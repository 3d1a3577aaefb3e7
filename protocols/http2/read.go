package http2

import (
	"encoding/binary"
	"strconv"

	"golang.org/x/net/http2/hpack"

	"github.com/latticed/latticed/grid"
	"github.com/latticed/latticed/protocols"
	"github.com/latticed/latticed/protocols/rest"
)

// Bounds of a header section on the wire. What is over MaxHeader is read all the same, to stay in step with the
// client's compression, and answered 431; what is over these ends the connection.
const (
	maxBlock  = 64 << 10
	maxBlocks = 32 // frames
)

// read takes frames until a batch of requests is there, the input is used up, or something has to come first. Where
// requests are not run because the client's windows are shut, it reads on: a window may open. wants: there are requests
// that want ops.
func (w *work) read() (wants bool) {
	s := w.s
	n := 0
	for _, st := range s.streams {
		if st.State == rest.Wants {
			n++
		}
	}
	for (n < grid.MaxBatch || s.full()) && !s.closing && !w.park && len(w.Out) < w.Room && s.held < s.peer.Env.Limits.Held {
		st, ok := w.frame()
		if !ok {
			break
		}
		if st != nil {
			if st.State == rest.Wants {
				n++
			}
			w.settle(st)
		}
	}
	return n > 0
}

// frame takes one frame, or a part of a DATA frame. ok: there may be another one. st: the request that is complete now,
// or answered early.
func (w *work) frame() (st *stream, ok bool) {
	s := w.s
	in := w.In[w.pos:]
	if len(s.preface) > 0 {
		n := min(len(in), len(s.preface))
		if string(in[:n]) != s.preface[:n] {
			w.end(protocolError, "the preface is not HTTP/2's")
			return nil, false
		}
		s.preface = s.preface[n:]
		w.pos += n
		if len(s.preface) > 0 {
			w.need = 1
			return nil, false
		}
		in = in[n:]
	}
	if s.inData {
		return w.data(in)
	}
	if len(in) < headLen {
		w.need = headLen
		return nil, false
	}
	f := parseHead(in)
	switch {
	case f.length > maxFrame:
		w.end(frameSizeError, "a frame is longer than 16384 bytes")
		return nil, false
	case !s.settled && f.kind != fSettings:
		w.end(protocolError, "the first frame is not SETTINGS")
		return nil, false
	case s.blocks > 0 && (f.kind != fContinuation || f.stream != s.open.stream):
		w.end(protocolError, "a header section is interrupted")
		return nil, false
	}
	if f.kind == fData {
		return w.beginData(f, in)
	}
	if len(in) < headLen+f.length {
		w.need = headLen + f.length
		return nil, false
	}
	w.pos += headLen + f.length
	p := in[headLen : headLen+f.length]
	switch f.kind {
	case fHeaders:
		st = w.headers(f, p)
	case fContinuation:
		st = w.continuation(f, p)
	case fPriority:
		w.priority(f, p)
	case fRstStream:
		w.reset(f, p)
	case fSettings:
		w.settings(f, p)
	case fPing:
		w.ping(f, p)
	case fWindowUpdate:
		w.window(f, p)
	case fGoAway:
		if f.stream != 0 || len(p) < 8 {
			w.end(protocolError, "GOAWAY is malformed")
		}
		s.leaving = true
	case fPushPromise:
		w.end(protocolError, "a client does not push")
	default:
		w.lost()
	}
	return st, !s.closing
}

// end says why the connection ends.
func (w *work) end(c code, why string) {
	if !w.s.closing {
		w.s.closing = true
		w.Out = appendGoAway(w.Out, w.s.last, c, why)
	}
}

// lost counts a frame that brought nothing.
func (w *work) lost() {
	if w.s.calm.lost(w.Now.Wall) {
		w.end(enhanceYourCalm, "too many frames that ask for nothing")
	}
}

// fail ends one stream.
func (w *work) fail(st *stream, c code) {
	w.Out = appendReset(w.Out, st.id, c)
	w.s.drop(st, true)
	w.lost()
}

// idle tells whether a stream was never opened.
func (s *session) idle(id uint32) bool { return id > s.last }

func (w *work) priority(f frame, p []byte) {
	switch {
	case f.stream == 0:
		w.end(protocolError, "PRIORITY for no stream")
	case len(p) != 5:
		w.broken(f.stream, frameSizeError)
	case binary.BigEndian.Uint32(p)&^(1<<31) == f.stream:
		w.broken(f.stream, protocolError)
	default:
		w.lost()
	}
}

// broken resets a stream, whether or not it is there.
func (w *work) broken(id uint32, c code) {
	if _, st := w.s.find(id); st != nil {
		w.fail(st, c)
		return
	}
	w.Out = appendReset(w.Out, id, c)
	w.lost()
}

func (w *work) reset(f frame, p []byte) {
	switch {
	case f.stream == 0 || w.s.idle(f.stream):
		w.end(protocolError, "RST_STREAM for a stream that is not open")
	case len(p) != 4:
		w.end(frameSizeError, "RST_STREAM has another length than 4")
	default:
		if _, st := w.s.find(f.stream); st != nil {
			w.s.drop(st, false)
		} else {
			w.s.closed(f.stream)
		}
		w.lost()
	}
}

func (w *work) ping(f frame, p []byte) {
	switch {
	case f.stream != 0:
		w.end(protocolError, "PING on a stream")
	case len(p) != 8:
		w.end(frameSizeError, "PING has another length than 8")
	case f.flags&flagAck == 0:
		w.Out = append(appendHead(w.Out, 8, fPing, flagAck, 0), p...)
		w.lost()
	}
}

func (w *work) settings(f frame, p []byte) {
	s := w.s
	switch {
	case f.stream != 0:
		w.end(protocolError, "SETTINGS on a stream")
		return
	case f.flags&flagAck != 0:
		if len(p) != 0 {
			w.end(frameSizeError, "an acknowledgement of SETTINGS has content")
		}
		return
	case len(p)%6 != 0:
		w.end(frameSizeError, "SETTINGS has a length that 6 does not divide")
		return
	}
	if bad := s.setAll(p); bad != nil {
		w.end(bad.code, bad.why)
		return
	}
	if s.settled {
		w.lost()
	}
	s.settled = true
	w.Out = appendHead(w.Out, 0, fSettings, flagAck, 0)
	w.wake()
}

// wrong is why a connection has to end.
type wrong struct {
	code code
	why  string
}

// setAll takes the client's settings; the length of p is a multiple of 6.
func (s *session) setAll(p []byte) *wrong {
	for ; len(p) > 0; p = p[6:] {
		if c, why := s.set(binary.BigEndian.Uint16(p), binary.BigEndian.Uint32(p[2:])); why != "" {
			return &wrong{c, why}
		}
	}
	return nil
}

func (s *session) set(id uint16, v uint32) (c code, why string) {
	switch id {
	case setTable:
		// RFC 7541 4.2 wants a change acknowledged in the next header section, and nghttp2 insists.
		s.resized = true
	case setPush:
		if v > 1 {
			return protocolError, "SETTINGS_ENABLE_PUSH is neither 0 nor 1"
		}
	case setWindow:
		if v > maxWindow {
			return flowControlError, "SETTINGS_INITIAL_WINDOW_SIZE is too large"
		}
		for _, st := range s.streams {
			if st.send += int64(v) - s.sendFirst; st.send > maxWindow {
				return flowControlError, "SETTINGS_INITIAL_WINDOW_SIZE makes a window too large"
			}
		}
		s.sendFirst = int64(v)
	case setFrame:
		if v < maxFrame || v > 1<<24-1 {
			return protocolError, "SETTINGS_MAX_FRAME_SIZE is out of range"
		}
	}
	return 0, ""
}

func (w *work) window(f frame, p []byte) {
	s := w.s
	if len(p) != 4 {
		w.end(frameSizeError, "WINDOW_UPDATE has another length than 4")
		return
	}
	more := int64(binary.BigEndian.Uint32(p) &^ (1 << 31))
	if f.stream == 0 {
		switch {
		case more == 0:
			w.end(protocolError, "WINDOW_UPDATE by 0")
		case s.send+more > maxWindow:
			w.end(flowControlError, "WINDOW_UPDATE makes the window too large")
		default:
			s.send += more
			w.wake()
		}
		return
	}
	_, st := s.find(f.stream)
	switch {
	case s.idle(f.stream):
		w.end(protocolError, "WINDOW_UPDATE for a stream that is not open")
	case st == nil:
		w.lost()
	case more == 0:
		w.fail(st, protocolError)
	case st.send+more > maxWindow:
		w.fail(st, flowControlError)
	default:
		st.send += more
		w.settle(st)
	}
}

// beginData takes the head of a DATA frame; its payload may come in pieces.
func (w *work) beginData(f frame, in []byte) (*stream, bool) {
	s := w.s
	head, pad := headLen, 0
	if f.flags&flagPadded != 0 {
		if head++; len(in) < head && f.length > 0 {
			w.need = head
			return nil, false
		}
		if f.length == 0 || int(in[headLen]) >= f.length {
			w.end(protocolError, "DATA has more padding than payload")
			return nil, false
		}
		pad = int(in[headLen])
	}
	w.pos += head
	switch {
	case f.stream == 0 || s.idle(f.stream):
		w.end(protocolError, "DATA for a stream that is not open")
		return nil, false
	case f.length > s.recv:
		w.end(flowControlError, "DATA is more than the connection's window")
		return nil, false
	}
	s.recv -= f.length
	s.open, s.inData, s.left, s.pad = f, true, f.length-pad-(head-headLen), pad
	_, st := s.find(f.stream)
	g, _ := s.over(f.stream)
	switch {
	case g.ours: // was on its way
		w.lost()
	case st == nil || st.ended:
		w.broken(f.stream, streamClosed)
	case f.length > st.recv:
		w.fail(st, flowControlError)
	case st.announce >= 0 && s.left > st.announce-st.got:
		w.fail(st, protocolError) // longer than announced, and so than what has been reserved for it
	default:
		st.recv -= f.length
		if f.length == 0 && f.flags&flagEndStream == 0 {
			w.lost()
		}
	}
	if s.closing {
		return nil, false
	}
	return w.data(w.In[w.pos:])
}

// data takes what has come of a DATA frame's payload.
func (w *work) data(in []byte) (*stream, bool) {
	s := w.s
	_, st := s.find(s.open.stream)
	n := min(len(in), s.left)
	if st != nil && st.Holding && n > 0 {
		w.park = true
		return nil, false
	}
	if st != nil && st.State == rest.Receiving && n > 0 {
		k := st.Write(in[:n], w.ticket())
		if k < n && st.State != rest.Ready {
			n, w.park = k, true
		}
	}
	if st != nil {
		st.got += n
		if st.came += n; st.came >= protocols.FinishBytes {
			st.since, st.came = w.Now.Wall, 0
		}
	}
	s.left -= n
	w.pos += n
	if s.left == 0 && !w.park {
		k := min(len(in)-n, s.pad)
		s.pad -= k
		w.pos += k
	}
	if s.left+s.pad > 0 {
		w.need = 1
		if st != nil && st.State == rest.Ready {
			return st, false
		}
		return nil, false
	}
	s.inData = false
	if s.recv < connWindow/2 {
		w.Out = appendWindow(w.Out, 0, connWindow-s.recv)
		s.recv = connWindow
	}
	if st == nil {
		return nil, true
	}
	if s.open.flags&flagEndStream != 0 {
		return w.endStream(st), true
	}
	switch {
	case st.recv >= streamWindow/2:
	case st.answered:
		w.enough(st)
		return nil, true
	default:
		w.Out = appendWindow(w.Out, st.id, streamWindow-st.recv)
		st.recv = streamWindow
	}
	if st.State == rest.Ready {
		return st, true
	}
	return nil, true
}

// endStream says that all of a request is there.
func (w *work) endStream(st *stream) *stream {
	if st.announce >= 0 && st.got != st.announce {
		w.fail(st, protocolError)
		return nil
	}
	if st.answered {
		w.s.drop(st, false)
		return nil
	}
	st.ended = true
	st.End(w.Now)
	return st
}

func (w *work) headers(f frame, p []byte) *stream {
	p, ok := unpad(f, p)
	if !ok {
		w.end(protocolError, "HEADERS has more padding than payload")
		return nil
	}
	self := false
	if f.flags&flagPriority != 0 {
		if len(p) < 5 {
			w.end(frameSizeError, "HEADERS is too short for its priority")
			return nil
		}
		self = binary.BigEndian.Uint32(p)&^(1<<31) == f.stream
		p = p[5:]
	}
	if f.stream == 0 || f.stream%2 == 0 {
		w.end(protocolError, "a client's streams have odd numbers")
		return nil
	}
	s := w.s
	s.open = f
	s.head.begin(s, self)
	return w.fragment(f, p)
}

func (w *work) continuation(f frame, p []byte) *stream {
	if w.s.blocks == 0 {
		w.end(protocolError, "CONTINUATION of nothing")
		return nil
	}
	return w.fragment(f, p)
}

// fragment takes a part of a header section.
func (w *work) fragment(f frame, p []byte) *stream {
	s := w.s
	if f.flags&flagEndHeaders == 0 {
		s.blocks++
		if s.block = append(s.block, p...); len(s.block) > maxBlock || s.blocks > maxBlocks {
			w.end(enhanceYourCalm, "a header section does not end")
		}
		return nil
	}
	if s.blocks > 0 {
		p = append(s.block, p...)
		s.block, s.blocks = nil, 0
		if len(p) > maxBlock {
			w.end(enhanceYourCalm, "a header section does not end")
			return nil
		}
	}
	return w.section(p)
}

// section decodes a header section and does what it asks for.
func (w *work) section(p []byte) *stream {
	s := w.s
	id, last := s.open.stream, s.open.flags&flagEndStream != 0
	_, st := s.find(id)
	fresh := st == nil && s.idle(id)
	refused := false
	if fresh {
		s.last = id
		if refused = len(s.streams) >= s.p.opt.Streams || s.leaving; !refused {
			st = s.newStream(id)
			st.since, st.came = w.Now.Wall, 0
			s.streams = append(s.streams, st) // numbers only grow
			s.head.st = st
		}
	}
	_, err := s.dec.Write(p)
	if err == nil {
		err = s.dec.Close()
	}
	if err != nil {
		w.end(compressionError, "the header section cannot be decoded")
		return nil
	}
	h := &s.head
	h.st = nil
	s.table = min(s.table+h.size, 2*tableMax) // the decoder does not say
	switch {
	case refused:
		w.Out = appendReset(w.Out, id, refusedStream)
		w.lost()
		return nil
	case st == nil:
		switch g, ok := s.over(id); {
		case g.ours: // trailers that were on their way
			w.lost()
		case ok:
			w.end(streamClosed, "HEADERS for a stream that is closed")
		default:
			w.end(protocolError, "the numbers of streams may only grow")
		}
		return nil
	case st.ended:
		w.fail(st, streamClosed)
		return nil
	case h.self:
		w.fail(st, protocolError)
		return nil
	case !fresh: // trailers
		if !last || h.bad || h.pseudo != 0 {
			w.fail(st, protocolError)
			return nil
		}
		return w.endStream(st)
	}
	if h.finish(st); h.bad {
		w.fail(st, protocolError)
		return nil
	}
	if h.size > s.p.opt.MaxHeader {
		st.Admit(version, w.Now)
		st.Refuse(431, "the header section is longer than "+strconv.Itoa(s.p.opt.MaxHeader)+" bytes")
	} else {
		length := st.announce
		if last {
			length = 0
		}
		s.seq++
		if st.Admit(version, w.Now) {
			st.Head(length, w.ticket())
		}
	}
	if last {
		return w.endStream(st)
	}
	return st
}

// head is what is known of a header section while it is decoded.
type head struct {
	st      *stream // whose request it is; nil for trailers and what nobody reads
	self    bool    // it depends on itself
	bad     bool
	size    int
	pseudo  uint8 // those that came
	regular bool  // other fields came: no pseudo-fields may follow
	started bool
	method  []byte
	path    []byte
	host    []byte
}

// The pseudo-fields.
const (
	hasMethod = 1 << iota
	hasScheme
	hasPath
	hasAuthority
)

func (h *head) begin(s *session, self bool) {
	*h = head{self: self, method: h.method[:0], path: h.path[:0], host: h.host[:0]}
}

// field takes one field from the decoder. What it is given is valid during the call.
func (s *session) field(f hpack.HeaderField) {
	h := &s.head
	if h.size += len(f.Name) + len(f.Value) + 32; h.size > s.p.opt.MaxHeader || h.bad {
		return
	}
	if len(f.Name) > 0 && f.Name[0] == ':' {
		h.takePseudo(f)
		return
	}
	h.regular = true
	if !goodName(f.Name) || !goodValue(f.Value) {
		h.bad = true
		return
	}
	switch f.Name {
	case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade":
		h.bad = true
		return
	case "te":
		h.bad = f.Value != "trailers"
		return
	}
	if h.st == nil {
		return
	}
	switch f.Name {
	case "host":
		if h.pseudo&hasAuthority != 0 {
			return // the pseudo-field counts
		}
	case "content-length":
		n, err := strconv.ParseUint(f.Value, 10, 62)
		if err != nil || h.st.announce >= 0 && h.st.announce != int(n) {
			h.bad = true
			return
		}
		h.st.announce = int(n)
		return
	}
	h.start()
	s.fields = append(append(s.fields[:0], f.Name...), f.Value...)
	h.st.Field(s.fields[:len(f.Name)], s.fields[len(f.Name):])
}

func (h *head) takePseudo(f hpack.HeaderField) {
	var bit uint8
	var to *[]byte
	switch f.Name {
	case ":method":
		bit, to = hasMethod, &h.method
	case ":path":
		bit, to = hasPath, &h.path
	case ":authority":
		bit, to = hasAuthority, &h.host
	case ":scheme":
		bit = hasScheme
	}
	if bit == 0 || h.pseudo&bit != 0 || h.regular || !goodValue(f.Value) {
		h.bad = true
		return
	}
	h.pseudo |= bit
	if to != nil {
		*to = append((*to)[:0], f.Value...)
	}
}

// start gives the exchange what it has to know before any field.
func (h *head) start() {
	if h.started || h.st == nil {
		return
	}
	h.started = true
	h.st.Start(h.method, h.path)
	if h.pseudo&hasAuthority != 0 {
		h.st.Field(nameHost, h.host)
	}
}

var nameHost = []byte("Host")

// finish judges a request's head when all of it is there.
func (h *head) finish(st *stream) {
	if h.size > 0 && h.pseudo&(hasMethod|hasScheme|hasPath) != hasMethod|hasScheme|hasPath || len(h.path) == 0 {
		h.bad = true
		return
	}
	h.st = st
	h.start()
	h.st = nil
}

// goodName tells whether a field's name is a token in lower case.
func goodName(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		case c == '!', c == '#', c == '$', c == '%', c == '&', c == '\'', c == '*', c == '+', c == '-', c == '.',
			c == '^', c == '_', c == '`', c == '|', c == '~':
		default:
			return false
		}
	}
	return len(s) > 0
}

// goodValue tells whether a field's value has neither controls nor space around it.
func goodValue(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return s == "" || s[0] != ' ' && s[0] != '\t' && s[len(s)-1] != ' ' && s[len(s)-1] != '\t'
}
