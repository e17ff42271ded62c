package recording

import (
	"encoding/binary"
	"errors"
)

// errCorrupt says that a block's rows make no sense, though its checksum does.
var errCorrupt = errors.New("its rows make no sense")

// A coder reads or writes the columns of a block. One function for both names
// each field, so that the two cannot differ.
type coder struct {
	writing bool
	data    [numColumns][]byte // written so far, or still to be read
	absent  [numColumns]bool   // when reading: the writer did not know the column
	err     error              // errCorrupt: from then on, all that is read is 0
}

func (c *coder) fail() {
	if c.err == nil {
		c.err = errCorrupt
	}
}

func (c *coder) put(col column, v uint64) {
	if v < 0x80 {
		c.data[col] = append(c.data[col], byte(v))
		return
	}
	c.data[col] = binary.AppendUvarint(c.data[col], v)
}

func (c *coder) get(col column) uint64 {
	b := c.data[col]
	if len(b) > 0 && b[0] < 0x80 {
		c.data[col] = b[1:]
		return uint64(b[0])
	}
	return c.getLong(col)
}

func (c *coder) getLong(col column) uint64 {
	if c.absent[col] || c.err != nil {
		return 0
	}
	v, n := binary.Uvarint(c.data[col])
	if n <= 0 {
		c.fail()
		return 0
	}
	c.data[col] = c.data[col][n:]
	return v
}

func (c *coder) putByte(col column, v byte) { c.data[col] = append(c.data[col], v) }

func (c *coder) getByte(col column) byte {
	b := c.data[col]
	if len(b) == 0 {
		if !c.absent[col] {
			c.fail()
		}
		return 0
	}
	c.data[col] = b[1:]
	return b[0]
}

// take returns the next n bytes, valid until the block's end.
func (c *coder) take(col column, n uint64) []byte {
	b := c.data[col]
	if n > uint64(len(b)) {
		c.fail()
		return nil
	}
	c.data[col] = b[n:]
	return b[:n]
}

func zigzag(v int64) uint64   { return uint64(v)<<1 ^ uint64(v>>63) }
func unzigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

// number codes an unsigned field.
func number[T ~uint8 | ~uint16 | ~uint32 | ~uint64](c *coder, col column, v *T) {
	if c.writing {
		c.put(col, uint64(*v))
		return
	}
	got := c.get(col)
	if *v = T(got); uint64(*v) != got {
		c.fail()
	}
}

// signed codes a field that may be negative.
func signed[T ~int16 | ~int32 | ~int64](c *coder, col column, v *T) {
	if c.writing {
		c.put(col, zigzag(int64(*v)))
		return
	}
	got := unzigzag(c.get(col))
	if *v = T(got); int64(*v) != got {
		c.fail()
	}
}

// since codes a field that is near another that is coded already.
func since[T ~int64](c *coder, col column, v *T, base T) {
	d := base - *v
	signed(c, col, &d)
	*v = base - d
}

// flags codes booleans as the bits of one number, the first the lowest.
func flags(c *coder, col column, all ...*bool) {
	var bits uint64
	for i, b := range all {
		if *b {
			bits |= 1 << i
		}
	}
	number(c, col, &bits)
	for i, b := range all {
		*b = bits>>i&1 != 0
	}
}
