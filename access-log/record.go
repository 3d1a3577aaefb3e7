// Package accesslog records operations. The folder is access-log, so imports name the package: accesslog.
package accesslog

import "net/netip"

// Record is one operation. Slices are valid during the call only; bytes are escaped by the writer.
type Record struct {
	Conn                       uint64
	Start, Duration            int64 // ms since 1970; ns
	Protocol, Op, Status, User string
	Cache, Key                 []byte
	Target                     []byte     // of HTTP: path and query as they came
	Remote                     netip.Addr // the client, where a trusted proxy says that it is another than the connection's
	In, Out                    int        // bytes of the request and of the reply; of HTTP: of their bodies
}

// Recorder takes one listener's records. It never blocks and never allocates.
type Recorder interface {
	// Admit reserves n records of the class that may not be dropped, before their ops run. False: refuse the
	// request, or Park until woken, as configured; the loop itself never waits.
	Admit(n int) bool
	// Record copies r. An ordinary record that finds its ring full is dropped and counted.
	Record(r *Record)
}
