package controller

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"net/http"

	"github.com/gin-gonic/gin"

	"lanekeeper/controller/middleware"
	"lanekeeper/domain"
	"lanekeeper/model"
	"lanekeeper/pkg/jsonb"
)

// batchEntry is one message of a batch: a submission, or why it is none.
type batchEntry struct {
	submission domain.Submission
	err        error
}

// publishBatch publishes many messages.
//
//	@Summary		Publish many messages
//	@ID			publishMessages
//	@Description	1 to 1000 messages: as JSON, or as `application/x-ndjson` with one payload a line, or, with `envelope=true`, one message like those of the JSON form. A message that is refused does not keep the others from being published. When all are refused for one reason that is not theirs (the broker is away, the tenant is inactive, too much backlog), the whole call is.
//	@Tags			messages
//	@Security		BearerAuth
//	@Accept			json,application/x-ndjson
//	@Produce		json
//	@Param			X-Tenant-ID										header		string				false	"The tenant; may be left out by a caller that belongs to one"	format(uuid)
//	@Param			tenant_id										query		string				false	"The same as X-Tenant-ID"										format(uuid)
//	@Param			envelope										query		bool				false	"For `application/x-ndjson`: whether a line is a message, with `payload`, `type` and so on, and not the payload alone"	default(false)
//	@Param			body											body		model.PublishBatch	true	"The messages"
//	@Success		202												{object}	model.BatchResult	"All messages were accepted"
//	@Success		207												{object}	model.BatchResult	"Some messages were rejected"
//	@Failure		400,401,403,404,408,409,413,415,422,429,500,503	{object}	model.Problem
//	@Router			/messages/batch [post]
//	@x-scope			"publish"
func (m *messageController) publishBatch(c *gin.Context) error {
	tenant := middleware.Tenant(c)
	if err := m.messages.Admit(c.Request.Context(), tenant); err != nil {
		return err // before the body costs anything
	}
	if len(c.Request.Header.Values(idempotencyHeader)) > 0 {
		e := domain.New(domain.ErrMalformed, "key_not_for_batch", "A batch has no key of its own; give its messages an idempotency_key each.")
		e.Fields = []domain.FieldError{{Pointer: idempotencyHeader, Message: "must not be sent with a batch"}}
		return e
	}
	entries, err := readBatch(c)
	if err != nil {
		return err
	}
	submissions := make([]domain.Submission, 0, len(entries))
	for i := range entries {
		if entries[i].err == nil {
			submissions = append(submissions, entries[i].submission)
		}
	}
	var receipts []domain.Receipt
	if len(submissions) > 0 {
		receipts = m.messages.Publish(c.Request.Context(), tenant, submissions)
	}
	if len(receipts) != len(submissions) {
		return fmt.Errorf("publish %d messages: %d receipts", len(submissions), len(receipts))
	}
	if len(receipts) == len(entries) {
		if err := commonRefusal(receipts); err != nil {
			return err
		}
	}
	result, unexpected := batchResult(entries, receipts)
	if unexpected != nil {
		_ = c.Error(unexpected) // for the access log
	}
	status := http.StatusAccepted
	if result.Rejected > 0 {
		status = http.StatusMultiStatus
	}
	return writeJSON(c, status, result)
}

// readBatch reads the messages of a batch in either form. The error is about
// the batch as a whole.
func readBatch(c *gin.Context) ([]batchEntry, error) {
	media, err := mediaType(c, jsonType, ndjsonType)
	if err != nil {
		return nil, err
	}
	enveloped, err := queryFlag(c, "envelope")
	if err != nil {
		return nil, err
	}
	if enveloped && media != ndjsonType {
		return nil, middleware.InvalidQuery("envelope", "is for bodies of the type "+ndjsonType)
	}
	body, err := middleware.ReadBody(c)
	if err != nil {
		return nil, err
	}
	if media == ndjsonType {
		entry := payloadEntry
		if enveloped {
			entry = messageEntry
		}
		return collect(c, lineEntries(body, entry), "")
	}
	if err := checkJSON(body); err != nil {
		return nil, err
	}
	var batch model.RawBatch
	if err := decodeObject(body, &batch); err != nil {
		return nil, err
	}
	const pointer = "/messages"
	if jsonb.Opening(batch.Messages) != '[' {
		return nil, domain.WithFields(domain.FieldError{Pointer: pointer, Message: "must be an array"})
	}
	return collect(c, arrayEntries(batch.Messages), pointer)
}

// What a message of a batch takes besides its bytes, until it is answered:
// itself, on its way to the broker, and its part of the answer; and what is
// wrong with it.
const (
	batchMessageBytes = 2 << 10
	batchErrorBytes   = 4 << 10
	// envelopeCopies is how often the envelope of a message, which does not share
	// the memory of the body, is in memory: as text and on its way to the broker.
	envelopeCopies = 2
	// batchStep is for how many messages memory is reserved at a time.
	batchStep = 32
)

// collect returns the entries, or an ErrInvalid for pointer when there are
// none or too many.
func collect(c *gin.Context, entries iter.Seq[batchEntry], pointer string) ([]batchEntry, error) {
	var collected []batchEntry
	var due int64 // bytes to be reserved
	for entry := range entries {
		envelope := entry.submission.Envelope()
		due += batchMessageBytes + envelopeCopies*int64(envelope.Size())
		if entry.err != nil {
			due += batchErrorBytes
		}
		if due >= batchStep*batchMessageBytes {
			if err := middleware.GrowBody(c, due); err != nil {
				return nil, err
			}
			due = 0
		}
		if collected = append(collected, entry); len(collected) > model.MaxBatchMessages {
			break
		}
	}
	if n := len(collected); n == 0 || n > model.MaxBatchMessages {
		return nil, domain.WithFields(domain.FieldError{Pointer: pointer, Message: fmt.Sprintf("must have 1 to %d messages", model.MaxBatchMessages)})
	}
	return collected, nil
}

// arrayEntries yields the messages of a JSON array.
func arrayEntries(array []byte) iter.Seq[batchEntry] {
	return func(yield func(batchEntry) bool) {
		for element := range jsonb.Elements(array) {
			if !yield(messageEntry(element)) {
				return
			}
		}
	}
}

// messageEntry returns the message that a valid JSON document describes.
func messageEntry(doc []byte) batchEntry {
	var message model.BatchMessage
	if err := decodeObject(doc, &message); err != nil {
		return batchEntry{err: err}
	}
	submission, err := message.Domain()
	return batchEntry{submission, err}
}

// payloadEntry returns the message whose payload is a valid JSON document.
func payloadEntry(doc []byte) batchEntry {
	return batchEntry{submission: domain.Submission{Payload: doc}}
}

// lineEntries yields the messages of a body with a document a line, of which
// entry makes them; blank lines do not count.
func lineEntries(body []byte, entry func(doc []byte) batchEntry) iter.Seq[batchEntry] {
	return func(yield func(batchEntry) bool) {
		for line := range bytes.Lines(body) {
			if line = bytes.Trim(line, " \t\r\n"); len(line) == 0 {
				continue
			}
			var next batchEntry
			if err := checkJSON(line); err != nil {
				next = batchEntry{err: badLine(err)}
			} else {
				next = entry(line)
			}
			if !yield(next) {
				return
			}
		}
	}
}

// badLine makes an item's error of that of a document: a line that cannot be
// parsed is a field of the batch that is not valid.
func badLine(err error) error {
	return domain.Wrap(err, domain.ErrInvalid, domain.CodeOf(err), "The line is not a valid JSON document.")
}

// commonRefusal returns the error of the whole batch when every message was
// refused for one reason that lies outside of the messages, else nil.
func commonRefusal(receipts []domain.Receipt) error {
	first := receipts[0].Err
	for i := range receipts {
		err := receipts[i].Err
		if err == nil || !sameRefusal(first, err) {
			return nil
		}
	}
	return first
}

func sameRefusal(a, b error) bool {
	if errors.Is(a, domain.ErrUnavailable) {
		return errors.Is(b, domain.ErrUnavailable)
	}
	for _, kind := range []domain.Kind{domain.ErrConflict, domain.ErrLimited, domain.ErrNotFound} {
		if errors.Is(a, kind) {
			return errors.Is(b, kind) && domain.CodeOf(a) == domain.CodeOf(b)
		}
	}
	return isInternal(a) && isInternal(b)
}

// isInternal reports whether err is one whose cause is not shown to callers.
func isInternal(err error) bool {
	return middleware.ProblemFor(err).Status == http.StatusInternalServerError
}

// batchResult returns the answer, and one of the errors that are not shown to
// callers, if there was any.
func batchResult(entries []batchEntry, receipts []domain.Receipt) (result model.BatchResult, unexpected error) {
	result.Results = make([]model.BatchItem, len(entries))
	for i := range entries {
		receipt := domain.Receipt{Err: entries[i].err}
		if receipt.Err == nil {
			receipt, receipts = receipts[0], receipts[1:]
		}
		if receipt.Err == nil {
			result.Accepted++
			result.Results[i] = model.AcceptedItem(i, &receipt)
			continue
		}
		result.Rejected++
		problem := middleware.ProblemFor(receipt.Err)
		if problem.Status == http.StatusInternalServerError {
			unexpected = receipt.Err
		}
		result.Results[i] = model.RejectedItem(i, receipt.ID, &problem)
	}
	return result, unexpected
}
