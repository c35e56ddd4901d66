package controller

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"lanekeeper/controller/middleware"
	"lanekeeper/domain"
	"lanekeeper/model"
)

// deadLetterService works on messages that were given up.
type deadLetterService interface {
	List(ctx context.Context, q domain.DeadLetterQuery) (letters []domain.DeadLetter, more bool, err error)
	Get(ctx context.Context, tenantID uuid.UUID, seq int64) (domain.DeadLetter, error)
	Replay(ctx context.Context, t domain.Tenant, selection domain.DeadLetterSelection) (domain.ReplayResult, error)
	Delete(ctx context.Context, tenantID uuid.UUID, selection domain.DeadLetterSelection) (int64, error)
}

type deadLetterController struct {
	letters deadLetterService
}

// list returns a page of the tenant's dead letters.
//
//	@Summary		List dead letters
//	@Description	Oldest first. A page may have fewer than `limit`, so that it stays below some MiB: follow `next_cursor`. The body of a letter is in `body` when it is a JSON value, else in `body_base64`.
//	@Tags			dead letters
//	@Security		BearerAuth
//	@Produce		json
//	@Param			X-Tenant-ID	header		string	false	"The tenant; may be left out by who belongs to one"	format(uuid)
//	@Param			tenant_id	query		string	false	"The same as X-Tenant-ID"							format(uuid)
//	@Param			cursor		query		string	false	"`next_cursor` or `last_cursor` of the page before; 0 begins at the start"
//	@Param			limit		query		int		false	"How many at most"						minimum(1)	maximum(1000)	default(50)
//	@Param			replayed	query		bool	false	"Whether to list replayed ones too"	default(false)
//	@Success		200			{object}	model.DeadLetterPage
//	@Failure		400,401,403,404,500,503	{object}	model.Problem
//	@Router			/dead-letters [get]
func (d *deadLetterController) list(c *gin.Context) error {
	seq, sent, _, err := querySeq(c)
	if err != nil {
		return err
	}
	limit, err := queryLimit(c)
	if err != nil {
		return err
	}
	replayed, err := queryReplayed(c)
	if err != nil {
		return err
	}
	letters, more, err := d.letters.List(c.Request.Context(), domain.DeadLetterQuery{
		TenantID: middleware.Tenant(c).ID, After: seq, Limit: limit, Replayed: replayed,
	})
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, model.FromDeadLetters(letters, more, sent))
}

// get returns one dead letter.
//
//	@Summary	Get a dead letter
//	@Tags		dead letters
//	@Security	BearerAuth
//	@Produce	json
//	@Param		X-Tenant-ID	header		string	false	"The tenant; may be left out by who belongs to one"	format(uuid)
//	@Param		tenant_id	query		string	false	"The same as X-Tenant-ID"							format(uuid)
//	@Param		id			path		integer	true	"Id of the dead letter"								format(int64)
//	@Success	200			{object}	model.DeadLetter
//	@Failure	400,401,403,404,500,503	{object}	model.Problem
//	@Router		/dead-letters/{id} [get]
func (d *deadLetterController) get(c *gin.Context) error {
	seq, ok := parseNumber(c.Param("id"))
	if !ok {
		return domain.New(domain.ErrMalformed, "invalid_id", "The id is not a number.")
	}
	letter, err := d.letters.Get(c.Request.Context(), middleware.Tenant(c).ID, seq)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, model.FromDeadLetter(&letter))
}

// replay sends dead letters again.
//
//	@Summary		Replay dead letters
//	@Description	Publishes the messages to the tenant's queue again, each under the id it had: replaying twice does not store twice. With `all` it is about the letters that are there when the call begins and were not replayed yet. `skipped` counts those that do not exist, were replayed before, or were not through in time; the latter stay as they were, so that the call can be repeated. 503 means that none was replayed.
//	@Tags			dead letters
//	@Security		BearerAuth
//	@Accept			json
//	@Produce		json
//	@Param			X-Tenant-ID	header		string					false	"The tenant; may be left out by who belongs to one"	format(uuid)
//	@Param			tenant_id	query		string					false	"The same as X-Tenant-ID"							format(uuid)
//	@Param			body		body		model.SelectDeadLetters	true	"Which: either ids or all"
//	@Success		202			{object}	model.Replayed
//	@Failure		400,401,403,404,408,409,413,415,422,500,503	{object}	model.Problem
//	@Router			/dead-letters/replay [post]
func (d *deadLetterController) replay(c *gin.Context) error {
	selection, err := readSelection(c)
	if err != nil {
		return err
	}
	result, err := d.letters.Replay(c.Request.Context(), middleware.Tenant(c), selection)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusAccepted, model.FromReplay(result))
}

// remove deletes dead letters.
//
//	@Summary		Purge dead letters
//	@Description	Deletes letters for good, whether they were replayed or not. With `all` it is about the letters that are there when the call begins. 503 `purge_incomplete` means that the time was not enough: call again for the rest.
//	@Tags			dead letters
//	@Security		BearerAuth
//	@Accept			json
//	@Produce		json
//	@Param			X-Tenant-ID	header		string					false	"The tenant; may be left out by who belongs to one"	format(uuid)
//	@Param			tenant_id	query		string					false	"The same as X-Tenant-ID"							format(uuid)
//	@Param			body		body		model.SelectDeadLetters	true	"Which: either ids or all"
//	@Success		200			{object}	model.Deleted
//	@Failure		400,401,403,404,408,413,415,422,500,503	{object}	model.Problem
//	@Router			/dead-letters [delete]
func (d *deadLetterController) remove(c *gin.Context) error {
	selection, err := readSelection(c)
	if err != nil {
		return err
	}
	deleted, err := d.letters.Delete(c.Request.Context(), middleware.Tenant(c).ID, selection)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, model.Deleted{Deleted: deleted})
}

func readSelection(c *gin.Context) (domain.DeadLetterSelection, error) {
	var body model.SelectDeadLetters
	if _, err := readObject(c, &body); err != nil {
		return domain.DeadLetterSelection{}, err
	}
	return body.Domain()
}

// queryReplayed tells whether ?replayed= asks for replayed letters too.
func queryReplayed(c *gin.Context) (bool, error) {
	replayed, ok, err := middleware.Query(c, "replayed")
	switch {
	case err != nil:
		return false, err
	case !ok, replayed == "false":
		return false, nil
	case replayed == "true":
		return true, nil
	}
	return false, middleware.InvalidQuery("replayed", `must be "true" or "false"`)
}
