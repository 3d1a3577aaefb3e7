package rest

import (
	"strconv"
	"time"

	accesslog "github.com/latticed/latticed/access-log"
	"github.com/latticed/latticed/protocols"
)

var methodNames = [...]string{mGet: "GET", mHead: "HEAD", mPut: "PUT", mPost: "POST", mDelete: "DELETE", mOptions: "OPTIONS"}

// statusNames are the statuses as texts.
var statusNames = func() (t [600]string) {
	for i := range t {
		t[i] = strconv.Itoa(i)
	}
	return t
}()

// resetStatus is the status in the log of a request that was given up before it was answered.
const resetStatus = "reset"

// Admit begins with the record of x, if there is to be one. False: the log takes none, and x is answered.
func (x *Exchange) Admit(t *protocols.Turn) bool {
	x.start = t.Now
	if x.peer.Env.Log() == nil {
		return true
	}
	x.Began = time.Now()
	if x.peer.Env.Log().Admit(1) {
		return true
	}
	x.text(503, "the access log is full; nothing was done, try again later")
	return false
}

// Record writes x to the access log, if there is one, as a request by protocol.
func (x *Exchange) Record(t *protocols.Turn, protocol string) {
	if x.peer.Env.Log() == nil {
		return
	}
	status, code := resetStatus, x.Res.StatusCode()
	if x.State == Ready && code < len(statusNames) {
		status = statusNames[code]
	}
	t.Rec = accesslog.Record{
		Conn: x.peer.Env.Conn, Start: x.start.Wall, Duration: int64(time.Since(x.Began)), Protocol: protocol, Op: x.verb(), Status: status,
		Cache: x.name, Key: x.key, In: x.got, Out: x.Sent,
		Remote: x.from.remote,
	}
	if x.head > 0 {
		t.Rec.Target = x.Req.RequestURI()
	}
	x.peer.Env.Log().Record(&t.Rec)
	t.Rec = accesslog.Record{}
}

// verb is the method as a text; "invalid" where the head was malformed.
func (x *Exchange) verb() string {
	switch {
	case x.head == 0:
		return "invalid"
	case x.meth != mOther:
		return methodNames[x.meth]
	}
	return string(x.Req.Method())
}
