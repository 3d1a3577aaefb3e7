package rest

import (
	"slices"

	"github.com/valyala/fasthttp"

	"github.com/latticed/latticed/grid"
)

// Log is the process's own log. It is safe for concurrent use.
type Log interface {
	Level() string                     // in capitals, as Infinispan names it
	SetLevel(name string) (known bool) // in any case
}

// appender is what Infinispan would call where the log goes.
const appender = "STDERR"

// logging answers below /logging. There is one logger, that of everything, which Infinispan calls by no name.
func (x *Exchange) logging(sub [][]byte) {
	action, ok := x.action()
	first := part(sub, 0)
	switch {
	case !ok:
	case x.s.opt.Log == nil:
		x.notYet("logging")
	case first == "appenders" && len(sub) == 1:
		if x.offers(action, "GET") && x.mayAdmin() {
			x.out = append(x.out[:0], `{"`+appender+`":{"name":"`+appender+`"}}`...)
			x.json()
		}
	case first == "loggers" && len(sub) == 1:
		if !x.offers(action, "GET", "PUT") || !x.mayAdmin() {
			return
		}
		if x.meth == mPut {
			x.setLevel()
			return
		}
		x.alone(func(x *Exchange, _ grid.Ticket) bool {
			o := object(append(x.out[:0], '['))
			o.open()
			o.text("name", "")
			o.text("level", x.s.opt.Log.Level())
			o.list("appenders", []string{appender})
			o.end()
			x.out = append(o, ']')
			x.json()
			return true
		})
	case first == "loggers" && len(sub) == 2:
		switch {
		case !x.offers(action, "PUT", "DELETE") || !x.mayAdmin():
		case x.meth == mDelete:
			x.text(fasthttp.StatusNotFound, string(sub[1])) // as any that there is not
		default:
			x.notYet("a logger for a part of the server")
		}
	default:
		x.text(fasthttp.StatusNotFound, notFound)
	}
}

// setLevel changes from which level on is logged.
func (x *Exchange) setLevel() {
	levels, err := x.t.params("level")
	appenders, err2 := x.t.params("appender")
	other := slices.IndexFunc(appenders, func(a string) bool { return a != appender })
	switch {
	case err != nil || err2 != nil:
		x.plain(fasthttp.StatusBadRequest)
	case len(levels)+len(appenders) == 0:
		x.text(fasthttp.StatusBadRequest, "ISPN012044: Missing at least one argument in '[level, appender]'")
	case other >= 0:
		x.text(fasthttp.StatusBadRequest, "ISPN080035: Unknown appender `", appenders[other], "`")
	default:
		x.alone(func(x *Exchange, _ grid.Ticket) bool {
			if n := len(levels); n > 0 && !x.s.opt.Log.SetLevel(levels[n-1]) {
				x.text(fasthttp.StatusBadRequest, "ISPN080036: Invalid level `", levels[n-1], "`")
				return true
			}
			x.plain(fasthttp.StatusNoContent)
			return true
		})
	}
}
