package rest

import (
	"strconv"
	"time"

	"github.com/latticed/latticed/grid"
)

// Connections are all clients that are connected, in parts, so that a listing holds few of them. It is safe for concurrent use.
type Connections interface {
	IDs(part int, ids []uint64) (_ []uint64, more bool) // those of one part, counted from 0; more: there is another part
	Find(id uint64) (Connection, bool)                  // false: it has gone
}

// Connection is what is told of one. What is empty is not known.
type Connection struct {
	Created          int64 // ms since 1970
	Local, Remote    string
	Protocol, Client string
	TLS              bool
	Version, Suite   string // of TLS
	ALPN             string
}

// connections answers with all connections, made while it is sent.
func (x *Exchange) connections() {
	list := x.s.opt.Connections
	if list == nil {
		x.notYet("telling of connections")
		return
	}
	node := x.s.opt.Host().Node
	var ids []uint64
	at, part, more, begun, some := 0, 0, true, false, false
	x.alone(func(x *Exchange, _ grid.Ticket) bool {
		if x.out = x.out[:0]; !begun {
			x.out = append(x.out, '[')
		}
		for len(x.out) < listPart && (at < len(ids) || more) {
			if at == len(ids) {
				ids, more = list.IDs(part, ids[:0])
				at, part = 0, part+1
				continue
			}
			id := ids[at]
			at++
			c, there := list.Find(id)
			if !there {
				continue
			}
			if some {
				x.out = append(x.out, ',')
			}
			some = true
			x.out = c.append(x.out, id, node)
		}
		last := at == len(ids) && !more
		if last {
			x.out = append(x.out, ']')
		}
		if last && !begun {
			x.json()
			return true
		}
		if !begun {
			begun, x.Length = true, -1
			x.Res.SetContentType("application/json")
		}
		x.showPart(x.out, !last)
		return true
	})
}

func (c *Connection) append(dst []byte, id uint64, node string) []byte {
	o := object(dst)
	text := func(name, v string) {
		if v == "" {
			o.null(name)
		} else {
			o.text(name, v)
		}
	}
	o.open()
	o.name("id")
	o = strconv.AppendUint(o, id, 10)
	o.text("server-node-name", node)
	o.null("name")
	o.text("created", time.UnixMilli(c.Created).UTC().Format("2006-01-02T15:04:05.000Z"))
	o.null("principal")
	text("local-address", c.Local)
	text("remote-address", c.Remote)
	text("protocol-version", c.Protocol)
	text("client-library", c.Client)
	o.null("client-version")
	if c.TLS {
		text("ssl-application-protocol", c.ALPN)
		text("ssl-cipher-suite", c.Suite)
		text("ssl-protocol", c.Version)
	}
	o.end()
	return o
}
