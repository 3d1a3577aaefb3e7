package http2

// Frames that cost us work or writing and bring no request are counted, so that a client cannot keep a loop busy with
// them: pings, settings, priorities, empty frames, and streams that are opened and reset.
const (
	calmPeriod = 10_000 // ms
	calmMost   = 2_000
)

type calm struct {
	since int64
	n     int
}

// lost counts one frame and tells whether the client has gone too far.
func (c *calm) lost(now int64) bool {
	if now-c.since > calmPeriod {
		c.since, c.n = now, 0
	}
	c.n++
	return c.n > calmMost
}
