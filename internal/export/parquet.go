package export

import (
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"

	"github.com/tcptrace/tcptrace/internal/conn"
)

// Version is that of the columns, which the file says under the key
// "tcptrace.columns". Within one version columns are only added.
const Version = "1"

// groupRows is how many rows are held before they are written.
const groupRows = 1 << 16

// A Parquet writes a table. Its Add takes in changes of any kind and writes those
// that are rows of the table. Close must be called: before it there is no file.
// It is not safe for concurrent use.
type Parquet struct {
	add   func(*conn.Change, Origin) (bool, error)
	close func() error
	rows  uint64
}

// NewConnections begins a table with a row for each connection.
func NewConnections(out io.Writer, program string) *Parquet {
	var t Connections
	return newParquet(out, program, t.Row)
}

// NewEvents begins a table with a row for each event.
func NewEvents(out io.Writer, program string) *Parquet {
	var t Events
	return newParquet(out, program, t.Row)
}

func newParquet[T any](out io.Writer, program string, row func(*conn.Change, Origin) *T) *Parquet {
	w := parquet.NewGenericWriter[T](out,
		parquet.Compression(&parquet.Zstd),
		parquet.MaxRowsPerRowGroup(groupRows),
		parquet.CreatedBy("tcptrace", program, ""),
		parquet.KeyValueMetadata("tcptrace.columns", Version),
	)
	one := make([]T, 1)
	return &Parquet{
		close: w.Close,
		add: func(c *conn.Change, from Origin) (bool, error) {
			r := row(c, from)
			if r == nil {
				return false, nil
			}
			one[0] = *r
			_, err := w.Write(one)
			return true, err
		},
	}
}

// Add takes in one change, and reports whether it made a row of it.
func (p *Parquet) Add(c *conn.Change, from Origin) (bool, error) {
	added, err := p.add(c, from)
	if err != nil {
		return false, fmt.Errorf("write a row: %w", err)
	}
	if added {
		p.rows++
	}
	return added, nil
}

// Rows counts those that were written.
func (p *Parquet) Rows() uint64 { return p.rows }

// Close writes what is held and what ends the file.
func (p *Parquet) Close() error {
	if err := p.close(); err != nil {
		return fmt.Errorf("end the Parquet file: %w", err)
	}
	return nil
}
