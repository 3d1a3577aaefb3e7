package daemon

import (
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/latticed/latticed/conf"
)

// level is a log writer that drops what is below a level that can change.
type level struct {
	w   io.Writer
	min atomic.Int32
}

func (l *level) set(name string) {
	if v, err := zerolog.ParseLevel(name); err == nil {
		l.min.Store(int32(v))
	}
}

// levelNames are what clients of Infinispan call the levels.
var levelNames = map[string]zerolog.Level{
	"ALL": zerolog.TraceLevel, "TRACE": zerolog.TraceLevel, "DEBUG": zerolog.DebugLevel, "INFO": zerolog.InfoLevel, "WARN": zerolog.WarnLevel,
	"ERROR": zerolog.ErrorLevel, "FATAL": zerolog.FatalLevel, "OFF": zerolog.Disabled,
}

// Level implements rest.Log.
func (l *level) Level() string {
	if v := zerolog.Level(l.min.Load()); v != zerolog.Disabled {
		return strings.ToUpper(v.String())
	}
	return "OFF"
}

// SetLevel implements rest.Log. The log tells it, unless nothing is logged before and after.
func (l *level) SetLevel(name string) bool {
	v, known := levelNames[strings.ToUpper(name)]
	if !known {
		return false
	}
	was := l.Level()
	tell := zerolog.New(l).With().Timestamp().Logger()
	if v == zerolog.Disabled {
		tell.Log().Str("from", was).Msg("a client switches the log off")
	}
	if l.min.Store(int32(v)); was != l.Level() {
		tell.Log().Str("from", was).Str("to", l.Level()).Msg("the level of the log was changed by a client")
	}
	return true
}

// Write implements io.Writer.
func (l *level) Write(p []byte) (int, error) { return l.w.Write(p) }

// WriteLevel implements zerolog.LevelWriter.
func (l *level) WriteLevel(v zerolog.Level, p []byte) (int, error) {
	if int32(v) < l.min.Load() {
		return len(p), nil
	}
	return l.w.Write(p)
}

func logger(c *conf.Config, w io.Writer) (zerolog.Logger, *level) {
	console := c.LogFormat == "console"
	if f, ok := w.(*os.File); ok && c.LogFormat == "auto" {
		info, err := f.Stat()
		console = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	if console {
		w = zerolog.ConsoleWriter{Out: w, TimeFormat: time.TimeOnly, NoColor: os.Getenv("NO_COLOR") != ""}
	}
	l := &level{w: w}
	l.set(c.LogLevel)
	return zerolog.New(l).With().Timestamp().Logger(), l
}
