package controller

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	"lanekeeper/domain"
	"lanekeeper/model"
)

const (
	// wholePage is how large a page is held until its end, so that its length can
	// be said; a larger one is written as it is read.
	wholePage = 128 << 10
	// pageBuffer is how much is collected before it is written, and pagePiece from
	// which size on something is not copied there.
	pageBuffer = 32 << 10
	pagePiece  = 8 << 10
)

// pageWriter writes the JSON of a page, item by item, without holding more of it
// than a small page has. Its methods return the errors of the connection; when
// the answer ends without finish no client takes a part of it for the whole.
type pageWriter struct {
	c     *gin.Context
	buf   []byte
	begun bool // the header is written
	lost  bool // the client takes no more
	items int
}

// errHeadOnly ends a page of which only the header is wanted.
var errHeadOnly = errors.New("only the header is wanted")

func newPageWriter(c *gin.Context) *pageWriter {
	return &pageWriter{c: c, buf: []byte(`{"data":[`)}
}

// item begins the next item.
func (w *pageWriter) item() {
	if w.items++; w.items > 1 {
		w.buf = append(w.buf, ',')
	}
}

// write writes a piece of an item, and does not keep it.
func (w *pageWriter) write(piece []byte) error {
	if !w.begun && len(w.buf)+len(piece) <= wholePage || len(piece) <= pagePiece && len(w.buf)+len(piece) <= pageBuffer {
		w.buf = append(w.buf, piece...)
		return nil
	}
	if err := w.flush(); err != nil {
		return err
	}
	if len(piece) <= pagePiece {
		w.buf = append(w.buf, piece...)
		return nil
	}
	return w.send(piece)
}

// flush writes what is collected.
func (w *pageWriter) flush() error {
	if !w.begun {
		w.begun = true
		w.c.Header("Cache-Control", "no-store")
		w.c.Header("Content-Type", jsonType)
		w.c.Status(http.StatusOK)
	}
	err := w.send(w.buf)
	w.buf = w.buf[:0]
	return err
}

func (w *pageWriter) send(piece []byte) error {
	_, err := w.c.Writer.Write(piece)
	w.lost = w.lost || err != nil
	return err //nolint:wrapcheck // that of the connection
}

// flushPart writes what was collected of a page of which more is to be read: it is
// not a small one.
func (w *pageWriter) flushPart() error {
	if err := w.flush(); err != nil {
		return err
	}
	if w.c.Request.Method == http.MethodHead {
		return errHeadOnly
	}
	return nil
}

// message writes a message, whose payload must not be used afterwards.
func (w *pageWriter) message(m *domain.Message) error {
	w.item()
	w.buf = model.AppendMessageHead(w.buf, m)
	if err := w.write(model.PayloadOf(m)); err != nil {
		return err
	}
	w.buf = append(model.AppendMessageTail(w.buf, m), '}')
	return nil
}

// letter writes a dead letter, whose body must not be used afterwards.
func (w *pageWriter) letter(l *domain.DeadLetter) error {
	head, body, tail, err := model.EncodeDeadLetter(l)
	if err != nil {
		return err
	}
	w.item()
	for _, piece := range [][]byte{head, body, tail} {
		if err := w.write(piece); err != nil {
			return err
		}
	}
	return nil
}

// finish ends the page.
func (w *pageWriter) finish(nextCursor, lastCursor string) error {
	w.buf = append(w.buf, `],"next_cursor":`...)
	w.buf = strconv.AppendQuote(w.buf, nextCursor)
	w.buf = append(w.buf, `,"last_cursor":`...)
	w.buf = strconv.AppendQuote(w.buf, lastCursor)
	w.buf = append(w.buf, "}\n"...)
	if !w.begun {
		w.c.Header("Content-Length", strconv.Itoa(len(w.buf)))
	}
	return w.flush()
}

// end returns the error of an answer. One that had begun, and whose connection
// is as it was, is cut off: net/http would end it in good order.
func (w *pageWriter) end(err error) error {
	switch {
	case errors.Is(err, errHeadOnly):
		return nil
	case err != nil && w.begun && !w.lost:
		_ = w.c.Error(err)
		panic(http.ErrAbortHandler)
	}
	return err
}

// writePieces writes an answer that is in pieces, and a line break.
func writePieces(c *gin.Context, pieces ...[]byte) error {
	pieces = append(pieces, []byte("\n"))
	size := 0
	for _, piece := range pieces {
		size += len(piece)
	}
	c.Header("Cache-Control", "no-store")
	c.Header("Content-Type", jsonType)
	c.Header("Content-Length", strconv.Itoa(size))
	c.Status(http.StatusOK)
	for _, piece := range pieces {
		if _, err := c.Writer.Write(piece); err != nil {
			return err //nolint:wrapcheck // that of the connection
		}
	}
	return nil
}
