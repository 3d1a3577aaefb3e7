package rest

import (
	"strconv"
	"time"

	accesslog "github.com/latticed/latticed/access-log"
	"github.com/latticed/latticed/grid"
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

// Admit begins with the record of x, if there is to be one, as a request by protocol. False: the log takes none, and x is answered.
func (x *Exchange) Admit(protocol string, now grid.Time) bool {
	x.start = now
	if x.log = x.peer.Env.Log(); x.log == nil {
		return true
	}
	x.Protocol, x.began = protocol, time.Now()
	if x.log.Admit(1) {
		return true
	}
	x.text(503, "the access log is full; nothing was done, try again later")
	return false
}

// Record writes x to the access log, if there is one and it was not written before. Release does so for a request that was
// given up: then its status is that of its answer, as far as there was one.
func (x *Exchange) Record() {
	if x.log == nil {
		return
	}
	status, code := resetStatus, x.Res.StatusCode()
	if (x.State == Ready || x.begun) && code < len(statusNames) {
		status = statusNames[code]
	}
	x.record = accesslog.Record{
		Conn: x.peer.Env.Conn, Start: x.start.Wall, Duration: int64(time.Since(x.began)), Protocol: x.Protocol, Op: x.verb(), Status: status,
		Cache: x.name, Key: x.key, In: x.got, Out: x.Sent,
		Remote: x.from.remote,
	}
	if x.head > 0 {
		x.record.Target = x.Req.RequestURI()
	}
	x.log.Record(&x.record)
	x.record, x.log = accesslog.Record{}, nil
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
