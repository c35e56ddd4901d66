package controller

import (
	"context"
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"lanekeeper/controller/middleware"
	"lanekeeper/domain"
	"lanekeeper/model"
)

// messageService publishes messages and reads what was stored.
type messageService interface {
	// Admit returns why Publish would refuse everything, without waiting.
	Admit(ctx context.Context, t domain.Tenant) error
	// Publish returns a receipt for each submission, in order.
	Publish(ctx context.Context, t domain.Tenant, submissions []domain.Submission) []domain.Receipt
	// History hands a page to take in parts, as they are read; the last has last
	// set. What a part holds is given back when take returns.
	History(ctx context.Context, q domain.HistoryQuery, take func(part domain.HistoryPage, last bool) error) error
	// Get hands a message to take. What it holds is given back when take returns.
	Get(ctx context.Context, t domain.Tenant, id uuid.UUID, take func(domain.Message) error) error
}

// deliveryService knows how far messages are on their way to endpoints.
type deliveryService interface {
	Deliveries(ctx context.Context, m *domain.Message) ([]domain.MessageDelivery, error)
}

type messageController struct {
	messages   messageService
	deliveries deliveryService
}

// publish publishes one message.
//
//	@Summary		Publish a message
//	@ID			publishMessage
//	@Description	202 means that the broker has confirmed the message. After 503 or a timeout it is safe to send it again with the same `Idempotency-Key`; the key is for the message with its payload, type, ordering key and headers. A tenant that publishes faster than it may is slowed down, and answered with 429 `rate_exceeded` after that.
//	@Tags			messages
//	@Security		BearerAuth
//	@Accept			json
//	@Produce		json
//	@Param			X-Tenant-ID										header		string					false	"The tenant; may be left out by a caller that belongs to one"	format(uuid)
//	@Param			tenant_id										query		string					false	"The same as X-Tenant-ID"										format(uuid)
//	@Param			Idempotency-Key									header		string					false	"Makes repeating the call safe for 24 hours"					minLength(1)	maxLength(255)
//	@Param			body											body		model.PublishMessage	true	"The message"
//	@Success		202												{object}	model.Accepted
//	@Header			202												{string}	Idempotent-Replayed	"true when an earlier call with the same key was accepted"
//	@Failure		400,401,403,404,408,409,413,415,422,429,500,503	{object}	model.Problem
//	@Router			/messages [post]
//	@x-scope			"publish"
func (m *messageController) publish(c *gin.Context) error {
	tenant := middleware.Tenant(c)
	if err := m.messages.Admit(c.Request.Context(), tenant); err != nil {
		return err // before the body costs anything
	}
	key, err := idempotencyKey(c)
	if err != nil {
		return err
	}
	var body model.PublishMessage
	if _, err := readObject(c, &body); err != nil {
		return err
	}
	submission, err := body.Domain(key)
	if err != nil {
		return err
	}
	receipts := m.messages.Publish(c.Request.Context(), tenant, []domain.Submission{submission})
	if len(receipts) != 1 {
		return fmt.Errorf("publish 1 message: %d receipts", len(receipts))
	}
	receipt := receipts[0]
	if receipt.Err != nil {
		return receipt.Err
	}
	if receipt.Replayed {
		c.Header(replayedHeader, "true")
	}
	return writeJSON(c, http.StatusAccepted, model.FromReceipt(&tenant, &receipt))
}

// history returns a page of the tenant's stored messages.
//
//	@Summary		Read the history
//	@ID			listMessages
//	@Description	Following `next_cursor` never misses a stored message and never repeats one. A page may have fewer than `limit`, so that it stays below 8 MiB or when the rest cannot be read in time: follow `next_cursor`. At the end `next_cursor` is empty; `last_cursor` says where to go on later, and is never ahead of the history, whatever `cursor` was. 503 is `tenant_busy` when the tenant, or its owner, reads too much at a time. Where the tenant keeps messages for a number of days only, no cursor and cursor 0 begin at the oldest one kept, and 410 `cursor_expired` answers a cursor after which messages are missing; with order=desc the history just ends there.
//	@Tags			messages
//	@Security		BearerAuth
//	@Produce		json
//	@Param			X-Tenant-ID					header		string	false	"The tenant; may be left out by a caller that belongs to one"	format(uuid)
//	@Param			tenant_id					query		string	false	"The same as X-Tenant-ID"										format(uuid)
//	@Param			cursor						query		string	false	"The `seq` after which to begin (before which, with order=desc)"
//	@Param			limit						query		int		false	"How many at most"			minimum(1)			maximum(1000)	default(50)
//	@Param			order						query		string	false	"Oldest or newest first"	Enums(asc, desc)	default(asc)
//	@Success		200							{object}	model.MessagePage
//	@Failure		400,401,403,404,410,500,503	{object}	model.Problem
//	@Router			/messages [get]
//	@x-scope			"read"
func (m *messageController) history(c *gin.Context) error {
	seq, hasCursor, err := querySeq(c)
	if err != nil {
		return err
	}
	limit, err := queryLimit(c)
	if err != nil {
		return err
	}
	descending, err := queryDescending(c)
	if err != nil {
		return err
	}
	q := domain.HistoryQuery{
		TenantID: middleware.Tenant(c).ID,
		Cursor:   seq, HasCursor: hasCursor, Limit: limit, Descending: descending,
	}
	page := newPageWriter(c)
	var at int64
	return page.end(m.messages.History(c.Request.Context(), q, func(part domain.HistoryPage, last bool) error {
		for i := range part.Messages {
			at = part.Messages[i].Seq
			if err := page.message(&part.Messages[i]); err != nil {
				return err
			}
		}
		if !last {
			return page.flushPart()
		}
		return page.finish(model.HistoryCursors(&q, at, &part))
	}))
}

// get returns one stored message.
//
//	@Summary		Get a message
//	@ID			getMessage
//	@Tags			messages
//	@Security		BearerAuth
//	@Produce		json
//	@Param			X-Tenant-ID				header		string	false	"The tenant; may be left out by a caller that belongs to one"	format(uuid)
//	@Param			tenant_id				query		string	false	"The same as X-Tenant-ID"										format(uuid)
//	@Param			id						path		string	true	"Id of the message"												format(uuid)
//	@Success		200						{object}	model.MessageDetail
//	@Failure		400,401,403,404,500,503	{object}	model.Problem
//	@Router			/messages/{id} [get]
//	@x-scope			"read"
func (m *messageController) get(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	return m.show(c, id)
}

// getByMessageID returns the stored message that an AMQP client sent with this
// message id.
//
//	@Summary		Get a message by its AMQP message id
//	@Description	An AMQP client may publish with a property `message_id` that is no UUID: the message is stored under an id that is made of it, a UUIDv5 within the tenant. This finds it by the text that was sent. A UUID finds what `GET /messages/{id}` does.
//	@ID			getMessageByMessageId
//	@Tags			messages
//	@Security		BearerAuth
//	@Produce		json
//	@Param			X-Tenant-ID				header		string	false	"The tenant; may be left out by a caller that belongs to one"	format(uuid)
//	@Param			tenant_id				query		string	false	"The same as X-Tenant-ID"										format(uuid)
//	@Param			message_id				path		string	true	"The property `message_id` of the message, percent-encoded"		maxlength(255)
//	@Success		200						{object}	model.MessageDetail
//	@Failure		400,401,403,404,500,503	{object}	model.Problem
//	@Router			/messages/by-message-id/{message_id} [get]
//	@x-scope			"read"
func (m *messageController) getByMessageID(c *gin.Context) error {
	return m.show(c, domain.StoredMessageID(middleware.Tenant(c).ID, c.Param("message_id")))
}

// show answers with a message and what became of it at endpoints.
func (m *messageController) show(c *gin.Context, id uuid.UUID) error {
	return m.messages.Get(c.Request.Context(), middleware.Tenant(c), id, func(message domain.Message) error {
		deliveries, err := m.deliveries.Deliveries(c.Request.Context(), &message)
		if err != nil {
			return err
		}
		head, payload, tail, err := model.EncodeMessageDetail(&message, deliveries)
		if err != nil {
			return err
		}
		return writePieces(c, head, payload, tail)
	})
}

// queryDescending reports whether ?order= asks for the newest first.
func queryDescending(c *gin.Context) (bool, error) {
	order, ok, err := middleware.Query(c, "order")
	switch {
	case err != nil:
		return false, err
	case !ok, order == "asc":
		return false, nil
	case order == "desc":
		return true, nil
	}
	return false, middleware.InvalidQuery("order", `must be "asc" or "desc"`)
}
