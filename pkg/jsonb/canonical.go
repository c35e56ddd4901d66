package jsonb

import "encoding/binary"

// Canonical writes texts as PostgreSQL's jsonb does. The zero value is ready to be
// used; it keeps some memory for the next text, and is not safe for concurrent
// use.
//
// It writes a text in two steps. The first writes it in its own order, and notes
// the members of those objects in which that is not jsonb's; the second is only
// for texts that have such objects, and puts their parts together.
//
// Positions are offsets in what the first step has written; they fit into 32 bits
// with Check's limits.
type Canonical struct {
	text []byte
	pos  int
	out  []byte
	base int // where the result begins in out

	frames  []frame  // the containers that are open
	objects []object // those with members, in the order of their beginnings
	members []member // those of the objects that are open, so far
	sorted  []member // those of the objects that are out of order
}

// keptMembers is for how many members memory is kept from text to text.
const keptMembers = 1024

// Append appends to dst what PostgreSQL gives back for text once it was stored as
// jsonb: text::jsonb::text, to the byte. It returns the extended slice. Text must
// have passed Check; it is not changed, and nothing of it is kept.
//
// White space is ", " and ": "; the members of an object are sorted by the
// length of their keys in bytes, and then by these bytes; of those with the same
// key the last one counts; numbers have no exponents, zero has no sign, and the
// digits after the point are as many as were given; strings have no escapes but
// those they need.
//
// It takes time in proportion to the text (and for sorting), however deep that is
// nested, and allocates nothing when dst has room for twice the result, unless
// there are many members.
func (c *Canonical) Append(dst, text []byte) []byte {
	c.text, c.pos, c.out, c.base = text, 0, dst, len(dst)
	c.write()
	if len(c.sorted) > 0 {
		// What is in order is put right behind the rest, which it then replaces.
		written := c.out[c.base:]
		c.out = c.assemble(c.out, written, 0, c.written(), 0)
		c.out = c.out[:c.base+copy(c.out[c.base:], c.out[c.base+len(written):])]
	}
	out := c.out
	*c = Canonical{frames: c.frames[:0], objects: kept(c.objects), members: kept(c.members), sorted: kept(c.sorted)}
	return out
}

// kept returns a slice without elements, whose memory may be kept.
func kept[T any](s []T) []T {
	if cap(s) > keptMembers {
		return nil
	}
	return s[:0]
}

// frame is a container that is open.
type frame struct {
	object bool
	// disorder: the members so far are not sorted.
	disorder bool
	at       int32 // of the object in objects
	members  int32 // where its members begin in members
}

// object is one that has members.
type object struct {
	begin, end int32 // its braces
	after      int32 // the first object behind it in objects
	// Its members in sorted, none when they are in order.
	from, to int32
}

// member is a member of an object, from the quote before its key to the end of
// its value.
type member struct {
	begin, end int32
	keyEnd     int32 // the quote after the key
	size       int32 // of the key, in bytes and without escapes
	objects    int32 // the first object in its value, or after it
}

// write is the first step.
func (c *Canonical) write() {
	for {
		// Here a value begins.
		c.skipSpace()
		switch b := c.text[c.pos]; b {
		case '{', '[':
			c.pos++
			c.skipSpace()
			c.out = append(c.out, b)
			if c.text[c.pos] == closer(b) {
				c.out = append(c.out, closer(b))
				c.pos++
				break
			}
			c.open(b == '{')
			continue
		case '"':
			c.str()
		case 't', 'n':
			c.take(len("true"))
		case 'f':
			c.take(len("false"))
		default:
			c.number()
		}
		// Here a value has ended.
		if !c.next() {
			return
		}
	}
}

// next goes from the end of a value to the beginning of the following one, and
// reports whether there is one.
func (c *Canonical) next() bool {
	for len(c.frames) > 0 {
		f := &c.frames[len(c.frames)-1]
		if f.object {
			c.members[len(c.members)-1].end = c.written()
		}
		c.skipSpace()
		if b := c.text[c.pos]; b != ',' {
			c.pos++
			c.close(f)
			c.out = append(c.out, b)
			c.frames = c.frames[:len(c.frames)-1]
			continue
		}
		c.pos++
		c.out = append(c.out, ',', ' ')
		if f.object {
			c.skipSpace()
			c.key(f)
		}
		return true
	}
	return false
}

// written returns how much is written.
func (c *Canonical) written() int32 { return place(len(c.out) - c.base) }

// place returns an offset, or an index, in 32 bits.
func place(n int) int32 { return int32(n) } //nolint:gosec // far below, with Check's limits

// take copies n bytes.
func (c *Canonical) take(n int) {
	c.out = append(c.out, c.text[c.pos:c.pos+n]...)
	c.pos += n
}

func (c *Canonical) skipSpace() {
	for c.pos < len(c.text) && c.text[c.pos] <= ' ' {
		c.pos++
	}
}

// open begins a container that is not empty, behind its brace or bracket.
func (c *Canonical) open(isObject bool) {
	f := frame{object: isObject, at: place(len(c.objects)), members: place(len(c.members))}
	c.frames = append(c.frames, f)
	if isObject {
		c.objects = append(c.objects, object{begin: c.written() - 1})
		c.key(&c.frames[len(c.frames)-1])
	}
}

// key writes a key and the colon after it, and notes the member.
func (c *Canonical) key(f *frame) {
	m := member{begin: c.written(), objects: place(len(c.objects))}
	m.size = place(c.str())
	m.keyEnd = c.written() - 1
	c.skipSpace()
	c.pos++ // the colon
	c.out = append(c.out, ':', ' ')
	if n := len(c.members); !f.disorder && n > int(f.members) {
		f.disorder = c.compare(&c.members[n-1], &m) >= 0
	}
	c.members = append(c.members, m)
}

// close ends a container, before its brace or bracket is written.
func (c *Canonical) close(f *frame) {
	if !f.object {
		return
	}
	o := &c.objects[f.at]
	o.end, o.after = c.written(), place(len(c.objects))
	if f.disorder {
		c.sort(o, c.members[f.members:])
	}
	c.members = c.members[:f.members]
}

// str writes a string, and returns how many bytes it has between its quotes,
// without escapes.
func (c *Canonical) str() int {
	i := quoteOrBackslash(c.text, c.pos+1)
	if c.text[i] == '"' {
		size := i - c.pos - 1
		c.take(size + 2)
		return size
	}
	size := 0
	for {
		size += i - c.pos
		c.take(i - c.pos)
		if c.text[i] == '"' {
			c.take(1)
			return size - 1 // the opening quote was counted
		}
		size += c.escape()
		i = quoteOrBackslash(c.text, c.pos)
	}
}

// quoteOrBackslash returns the index of the first quote or backslash from i on.
func quoteOrBackslash(text []byte, i int) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for len(text)-i >= 8 {
		w := binary.LittleEndian.Uint64(text[i:])
		quote, backslash := w^('"'*ones), w^('\\'*ones)
		if ((quote-ones)&^quote|(backslash-ones)&^backslash)&tops != 0 {
			break
		}
		i += 8
	}
	for text[i] != '"' && text[i] != '\\' {
		i++
	}
	return i
}

// assemble is the second step: it appends what is written from one position to
// another to dst, with the objects in it in order; the first of these is the one
// at the index next, or behind it.
func (c *Canonical) assemble(dst, written []byte, from, to, next int32) []byte {
	for int(next) < len(c.objects) {
		o := &c.objects[next]
		if o.begin >= to {
			break
		}
		if o.from == o.to {
			next++ // there may be others in it
			continue
		}
		dst = append(dst, written[from:o.begin+1]...)
		for i := o.from; i < o.to; i++ {
			if i > o.from {
				dst = append(dst, ',', ' ')
			}
			m := &c.sorted[i]
			dst = c.assemble(dst, written, m.begin, m.end, m.objects)
		}
		from, next = o.end, o.after
	}
	return append(dst, written[from:to]...)
}
