package prototest

import (
	"fmt"

	accesslog "github.com/latticed/latticed/access-log"
)

// Log is an access log that notes what it is given, and lets nothing in when told to.
type Log struct {
	Format   func(rec *accesslog.Record) string
	Lines    []string // of Format
	Admitted int      // how many records were asked for
	Refuse   bool
	Wrong    string // a record that no connection here can have made; "" for none
}

// Admit implements accesslog.Recorder.
func (l *Log) Admit(n int) bool {
	l.Admitted += n
	return !l.Refuse
}

// Record implements accesslog.Recorder.
func (l *Log) Record(rec *accesslog.Record) {
	if rec.Conn != 1 || rec.Start != Now.Wall || rec.Duration < 0 || rec.User != "" || rec.Remote.IsValid() {
		l.Wrong = fmt.Sprintf("%+v", *rec)
	}
	l.Lines = append(l.Lines, l.Format(rec))
}
