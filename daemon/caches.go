package daemon

import (
	"github.com/latticed/latticed/conf"
	"github.com/latticed/latticed/daemon/catalog"
)

// openCatalog finds out which caches there are, and has the store hold them. Without a data directory, what clients make lasts
// as long as the process.
func (d *Daemon) openCatalog(c *conf.Config) (err error) {
	if c.DataDir != "" {
		if d.dataDir, err = catalog.OpenDir(c.DataDir); err != nil {
			return err
		}
	}
	d.catalog, err = catalog.New(catalog.Options{Engine: d.store, Clock: d.clock, Dir: d.dataDir, Unkept: func(name string) {
		e := d.log.Info().Str("cache", name)
		if d.dataDir == nil {
			e.Msg("the cache lasts until the process ends; set data-dir to keep it")
		} else {
			e.Msg("the cache lasts until the process ends, as its client wanted it")
		}
	}})
	return err
}
