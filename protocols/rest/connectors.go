package rest

import (
	"encoding/json"
	"net/netip"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"
)

// Connectors are where clients connect. They are the same as long as the process lives, and safe for concurrent use. by is the
// connection that asks for a change; a *Refusal says that it would cut itself off.
type Connectors interface {
	Names() []string
	Find(name string) (Connector, bool)
	Open(name string) error
	Close(name string, by uint64) error // nobody is let in, and who is there is closed
	Filter(name string, rules []Rule, by uint64) error
}

// Connector is what is told of one.
type Connector struct {
	Name        string
	Host        string // or unix: and a path
	Port        int    // 0: none
	Cache       string // of clients that name none; empty: there are no such clients
	Rules       []Rule
	Open        bool
	Connections int64 // now
	Loops       int
}

// Rule says whether clients from a range may connect. The first rule decides in which a client is; in none, it may.
type Rule struct {
	From   netip.Prefix
	Accept bool
}

// Bounds of a list of rules that a client sends.
const (
	maxRules     = 1024
	maxRulesText = 128 << 10
)

// connectors answers below /server/connectors.
func (x *Exchange) connectors(sub [][]byte, action string) {
	list := x.s.opt.Connectors
	if list == nil {
		x.notYet("telling of connectors")
		return
	}
	name := part(sub, 0)
	switch {
	case len(sub) == 0:
		if x.offers(action, "GET") && x.mayAdmin() {
			x.out = appendStrings(x.out[:0], list.Names())
			x.json()
		}
	case len(sub) == 1:
		if x.offers(action, "GET", "POST start", "POST stop") && x.mayAdmin() {
			x.withConnector(name, func(x *Exchange, c *Connector) {
				switch action {
				case "start":
					x.done(list.Open(name))
				case "stop":
					x.done(list.Close(name, x.peer.Env.Conn))
				default:
					x.connector(c)
				}
			})
		}
	case len(sub) == 2 && part(sub, 1) == "ip-filter":
		if x.offers(action, "GET", "POST", "DELETE") && x.mayAdmin() {
			x.withConnector(name, func(x *Exchange, c *Connector) {
				switch x.meth {
				case mPost:
					if rules, ok := x.rules(); ok {
						x.done(list.Filter(name, rules, x.peer.Env.Conn))
					}
				case mDelete:
					x.done(list.Filter(name, nil, x.peer.Env.Conn))
				default:
					x.out = appendRules(x.out[:0], c.Rules)
					x.json()
				}
			})
		}
	default:
		x.text(fasthttp.StatusNotFound, notFound)
	}
}

// withConnector goes on with a connector when the request is complete. All connections may have to be looked at, so it is Heavy.
func (x *Exchange) withConnector(name string, do func(x *Exchange, c *Connector)) {
	if _, there := x.s.opt.Connectors.Find(name); !there {
		x.plain(fasthttp.StatusNotFound)
		return
	}
	later := func(x *Exchange) {
		c, _ := x.s.opt.Connectors.Find(name)
		do(x, &c)
	}
	if x.meth != mGet {
		x.apart(maxRulesText, later)
		return
	}
	x.inTurn(later)
}

// done answers for a change.
func (x *Exchange) done(err error) {
	if err != nil {
		x.failed(err)
		return
	}
	x.plain(fasthttp.StatusNoContent)
}

func (x *Exchange) connector(c *Connector) {
	o := object(x.out[:0])
	o.open()
	o.text("name", c.Name)
	o.name("ip-filter-rules")
	o = appendRules(o, c.Rules)
	if c.Cache == "" {
		o.null("default-cache")
	} else {
		o.text("default-cache", c.Cache)
	}
	o.text("host", c.Host)
	if c.Port > 0 {
		o.int("port", int64(c.Port))
	}
	o.int("local-connections", c.Connections)
	o.int("global-connections", c.Connections)
	o.int("io-threads", int64(c.Loops))
	o.int("send-buffer-size", 0) // the system's own choice
	o.int("receive-buffer-size", 0)
	o.bool("enabled", c.Open)
	o.end()
	x.out = o
	x.json()
}

func appendRules(dst []byte, rules []Rule) []byte {
	o := object(append(dst, '['))
	for i, r := range rules {
		if i > 0 {
			o = append(o, ',')
		}
		o.open()
		o.text("type", map[bool]string{true: "accept", false: "reject"}[r.Accept])
		o.text("from", r.From.String())
		o.end()
	}
	return append(o, ']')
}

// rules reads the rules in the body. False: x is answered.
func (x *Exchange) rules() (rules []Rule, ok bool) {
	var list []struct{ Type, CIDR *string }
	refuse := func(text ...string) ([]Rule, bool) {
		x.text(fasthttp.StatusBadRequest, text...)
		return nil, false
	}
	if json.Unmarshal(x.in, &list) != nil {
		return refuse("ISPN012043: Invalid request content")
	}
	if len(list) > maxRules {
		return refuse("more than ", strconv.Itoa(maxRules), " rules")
	}
	for _, l := range list {
		if l.Type == nil || l.CIDR == nil {
			return refuse("ISPN012044: Missing at least one argument in '[type, cidr]'")
		}
		r := Rule{Accept: strings.EqualFold(*l.Type, "accept")}
		if !r.Accept && !strings.EqualFold(*l.Type, "reject") {
			return refuse("No enum constant io.netty.handler.ipfilter.IpFilterRuleType.", *l.Type)
		}
		var err error
		if r.From, err = netip.ParsePrefix(*l.CIDR); err != nil {
			return refuse("want a range such as 10.0.0.0/8, got ", strconv.Quote(*l.CIDR))
		}
		if a := r.From.Addr(); a.Is4In6() && r.From.Bits() >= 96 {
			r.From = netip.PrefixFrom(a.Unmap(), r.From.Bits()-96)
		}
		r.From = r.From.Masked()
		rules = append(rules, r)
	}
	return rules, true
}
