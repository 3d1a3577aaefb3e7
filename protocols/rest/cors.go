package rest

import (
	"slices"
	"strconv"
	"strings"
)

// CORS is a rule on what pages of some origins may do.
type CORS struct {
	Origins     []string // "*" is any
	Methods     []string
	Headers     []string // of requests, that pages may set
	Expose      []string // of answers, that pages may read
	Credentials bool     // pages may ask as the user who looks at them
	MaxAge      int      // seconds that a browser may go by a preflight's answer
}

// sharing is a rule as the fields of answers have it.
type sharing struct {
	origins                       []string
	any, credentials              bool
	methods, headers, expose, age string
	only                          []string // methods; nil: all
}

func newSharing(r CORS) sharing {
	return sharing{
		origins: r.Origins, any: slices.Contains(r.Origins, "*"), credentials: r.Credentials, only: r.Methods,
		methods: strings.Join(r.Methods, ", "), headers: strings.Join(r.Headers, ", "), expose: strings.Join(r.Expose, ", "),
		age: strconv.Itoa(r.MaxAge),
	}
}

// allows tells whether pages may use the method. Browsers ask only before some.
func (r *sharing) allows(m method) bool {
	return r.only == nil || m != mOther && slices.Contains(r.only, methodNames[m])
}

// everything is for those who may do all that there is.
var everything = sharing{methods: allowedMethods, headers: allowedFields, expose: exposed, age: "0", credentials: true}

// sharing returns what pages of origin may do here; nil: nothing.
func (x *Exchange) sharing(origin, host []byte) *sharing {
	if x.allows(origin, host) {
		return &everything
	}
	for i := range x.s.sharings {
		if r := &x.s.sharings[i]; r.any || contains(r.origins, origin) {
			return r
		}
	}
	return nil
}

// share says that pages of origin may read the answer.
func (x *Exchange) share(origin []byte, with *sharing) {
	if with.any {
		x.Res.Set("Access-Control-Allow-Origin", "*")
		return
	}
	x.set("Access-Control-Allow-Origin", origin)
	if with.credentials {
		x.Res.Set("Access-Control-Allow-Credentials", "true")
	}
	x.Res.Add("Vary", "Origin")
}

func (x *Exchange) setUnlessEmpty(name, value string) {
	if value != "" {
		x.Res.Set(name, value)
	}
}
