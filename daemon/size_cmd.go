package daemon

import (
	"errors"
	"fmt"
	"io"
	"math"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/latticed/latticed/conf"
	"github.com/latticed/latticed/grid/store"
)

// sizeConns is how many connections a node is planned for.
const sizeConns = 10_000

// plan is the question that `latticed size` answers.
type plan struct {
	entries, key, value, memory float64 // entries, and bytes
	owners                      int
}

// guide follows Infinispan's tuning guide: every owner's copy and one more as working space must fit the memory of the
// nodes that are left when owners-1 have failed. It counts the data alone.
func (p plan) guide() (data, total, nodes, planned float64) {
	data = p.entries * (p.key + p.value)
	total = data * float64(p.owners+1)
	nodes = max(1, math.Ceil(total/p.memory))
	return data, total, nodes, nodes + float64(p.owners-1)
}

// ours counts what an entry with flags and a lifespan really takes, and no working space, which nothing here needs in proportion to the data; what
// the process itself needs comes off each node's memory. It plans for the same failures.
func (p plan) ours() (entry, total, room, nodes, planned float64) {
	entry = p.key + p.value + store.FullOverhead
	total = p.entries * entry * float64(p.owners)
	room = p.room()
	nodes = max(1, math.Ceil(total/room))
	return entry, total, room, nodes, nodes + float64(p.owners-1)
}

// room is what a node's memory leaves for entries, as the daemon divides it.
func (p plan) room() float64 {
	return float64(divide(uint64(p.memory), sizeConns).store)
}

func (p plan) check() error {
	switch {
	case !(p.entries >= 1) || math.IsInf(p.entries, 0):
		return errors.New("size: --entries must be at least 1")
	case p.key+p.value < 1:
		return errors.New("size: --value must be at least one byte")
	case p.owners < 1:
		return errors.New("size: --owners must be at least 1")
	case p.memory < 64<<20:
		return errors.New("size: --memory must be at least 64MiB")
	}
	return nil
}

func (p plan) print(out io.Writer) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	data, total, nodes, planned := p.guide()
	fmt.Fprintf(t, "Infinispan's guide: (owners+1) x data <= memory x nodes\n")
	fmt.Fprintf(t, "  data\t%.0f x %.0f B\t%s\n", p.entries, p.key+p.value, human(data))
	fmt.Fprintf(t, "  in all nodes\tx (%d + 1)\t%s\n", p.owners, human(total))
	fmt.Fprintf(t, "  nodes that hold it\t/ %s\t%.0f\n", human(p.memory), nodes)
	fmt.Fprintf(t, "  nodes to plan\t+ owners - 1\t%.0f\n", planned)
	entry, total, room, nodes, planned := p.ours()
	fmt.Fprintf(t, "latticed: owners x entries x (entry + %d B) <= room for entries x nodes\n", store.FullOverhead)
	fmt.Fprintf(t, "  data\t%.0f x %.0f B\t%s\n", p.entries, entry, human(p.entries*entry))
	fmt.Fprintf(t, "  in all nodes\tx %d\t%s\n", p.owners, human(total))
	fmt.Fprintf(t, "  nodes that hold it\t/ %s\t%.0f\n", human(room), nodes)
	fmt.Fprintf(t, "  nodes to plan\t+ owners - 1\t%.0f\n", planned)
	return t.Flush()
}

// human writes a number of bytes with three or four digits.
func human(n float64) string {
	for _, u := range []struct {
		bytes float64
		name  string
	}{{1e15, "PB"}, {1e12, "TB"}, {1e9, "GB"}, {1e6, "MB"}, {1e3, "kB"}} {
		if n >= u.bytes {
			return fmt.Sprintf("%.4g %s", n/u.bytes, u.name)
		}
	}
	return fmt.Sprintf("%.0f B", n)
}

// sizeCommand is `latticed size`.
func sizeCommand() *cobra.Command {
	p := plan{owners: 2}
	var key, value, memory string
	cmd := &cobra.Command{
		Use: "size", Short: "Calculate how many nodes a data set needs",
		Long: "size plans a cluster: it prints the arithmetic of Infinispan's tuning guide and latticed's own, which counts what\n" +
			"an entry really takes and what a node with 10,000 connections has left for entries. Both plan so that owners-1 nodes may fail and the rest still hold everything.",
		Example: "  latticed size --entries 1e6 --value 10kB --owners 3 --memory 4GB\n" +
			"  latticed size --entries 5e8 --key 24 --value 300 --owners 2 --memory 64GiB",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, s := range []struct {
				flag, text string
				to         *float64
			}{{"key", key, &p.key}, {"value", value, &p.value}, {"memory", memory, &p.memory}} {
				n, err := conf.ParseSize(s.text)
				if err != nil {
					return fmt.Errorf("size: --%s: %w", s.flag, err)
				}
				*s.to = float64(n)
			}
			if err := p.check(); err != nil {
				return err
			}
			return p.print(cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.Float64Var(&p.entries, "entries", 0, "number of entries, for instance 1e6")
	f.StringVar(&key, "key", "0", "size of a key; 0: counted in the value")
	f.StringVar(&value, "value", "0", "size of a value, for instance 10kB")
	f.IntVar(&p.owners, "owners", p.owners, "copies of each entry, the first included")
	f.StringVar(&memory, "memory", "4GiB", "memory of one node")
	_ = cmd.MarkFlagRequired("entries") // the flag exists: it was just made
	_ = cmd.MarkFlagRequired("value")
	return cmd
}
