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
	// List hands a page to take in parts, as they are read; the last has last
	// set. Get hands a letter to take. What they hold is given back when take
	// returns.
	List(ctx context.Context, q domain.DeadLetterQuery, take func(part domain.DeadLetterPage, last bool) error) error
	Get(ctx context.Context, tenantID uuid.UUID, seq int64, take func(domain.DeadLetter) error) error
	Groups(ctx context.Context, q domain.DeadLetterQuery) (domain.DeadLetterGroups, error)
	Replay(ctx context.Context, t domain.Tenant, selection domain.DeadLetterSelection) (domain.ReplayResult, error)
	Delete(ctx context.Context, tenantID uuid.UUID, selection domain.DeadLetterSelection) (domain.DeleteResult, error)
	// Failures says of letters why they were given up, the newest first; with shape
	// only of those whose error has it.
	Failures(ctx context.Context, q domain.DeadLetterQuery, shape string) (domain.DeadLetterFailures, error)
	Jobs(ctx context.Context, tenantID uuid.UUID) ([]domain.DeadLetterJob, error)
	Job(ctx context.Context, tenantID, id uuid.UUID) (domain.DeadLetterJob, error)
	CancelJob(ctx context.Context, tenantID, id uuid.UUID) (domain.DeadLetterJob, error)
}

type deadLetterController struct {
	letters deadLetterService
}

// list returns a page of the tenant's dead letters.
//
//	@Summary		List dead letters
//	@ID			listDeadLetters
//	@Description	Oldest first. A page may have fewer than `limit`, so that it stays below 8 MiB or when the rest cannot be read in time: follow `next_cursor`. `last_cursor` is never ahead of the tenant's letters, whatever `cursor` was. The body of a letter is in `body` when it is a JSON value, else in `body_base64`.
//	@Tags			dead-letters
//	@Security		BearerAuth
//	@Produce		json
//	@Param			X-Tenant-ID				header		string	false	"The tenant; may be left out by a caller that belongs to one"	format(uuid)
//	@Param			tenant_id				query		string	false	"The same as X-Tenant-ID"										format(uuid)
//	@Param			cursor					query		string	false	"`next_cursor` or `last_cursor` of the page before; 0 begins at the start"
//	@Param			limit					query		int		false	"How many at most"					minimum(1)	maximum(1000)	default(50)
//	@Param			replayed				query		bool	false	"Whether to list replayed ones too"	default(false)
//	@Param			reason					query		string	false	"Only letters with this reason"		Enums(invalid_payload,invalid_headers,id_conflict,not_storable,delivery_failed,transmit_failed,endpoint_paused,unknown)
//	@Param			endpoint_id				query		string	false	"Only letters of deliveries to this endpoint"	format(uuid)
//	@Param			from					query		string	false	"Only letters recorded at this time or later"	format(date-time)
//	@Param			to						query		string	false	"Only letters recorded before this time"		format(date-time)
//	@Success		200						{object}	model.DeadLetterPage
//	@Failure		400,401,403,404,500,503	{object}	model.Problem
//	@Router			/dead-letters [get]
//	@x-scope			"read"
func (d *deadLetterController) list(c *gin.Context) error {
	seq, _, err := querySeq(c)
	if err != nil {
		return err
	}
	limit, err := queryLimit(c)
	if err != nil {
		return err
	}
	replayed, err := queryFlag(c, "replayed")
	if err != nil {
		return err
	}
	filter, err := queryLetterFilter(c)
	if err != nil {
		return err
	}
	q := domain.DeadLetterQuery{TenantID: middleware.Tenant(c).ID, After: seq, Limit: limit, Replayed: replayed, Filter: filter}
	page := newPageWriter(c)
	var at int64
	return page.end(d.letters.List(c.Request.Context(), q, func(part domain.DeadLetterPage, last bool) error {
		for i := range part.Letters {
			at = part.Letters[i].Seq
			if err := page.letter(&part.Letters[i]); err != nil {
				return err
			}
		}
		if !last {
			return page.flushPart()
		}
		return page.finish(model.DeadLetterCursors(&q, at, &part))
	}))
}

// queryLetterFilter returns what ?reason=, ?endpoint_id=, ?from= and ?to= restrict
// dead letters to.
func queryLetterFilter(c *gin.Context) (domain.DeadLetterFilter, error) {
	var said [4]*string
	for i, name := range []string{"reason", "endpoint_id", "from", "to"} {
		value, ok, err := middleware.Query(c, name)
		if err != nil {
			return domain.DeadLetterFilter{}, err
		}
		if ok {
			said[i] = &value
		}
	}
	f, wrong := domain.ParseDeadLetterFilter(said[0], said[1], said[2], said[3])
	if len(wrong) > 0 {
		return f, middleware.InvalidQuery(wrong[0].Pointer, wrong[0].Message)
	}
	return f, nil
}

// groups returns what the tenant's dead letters were given up for.
//
//	@Summary		Group dead letters
//	@ID			groupDeadLetters
//	@Description	By reason, endpoint and error, where numbers, ids, quoted texts and addresses in errors do not count, but for the status of an answer: the 100 largest groups, each with its size, the times of its oldest and newest letter, and the id of the newest. The newest 100,000 letters are looked at, or fewer when that takes too long: `counted` says how many it were, and `truncated` that there are more.
//	@Tags			dead-letters
//	@Security		BearerAuth
//	@Produce		json
//	@Param			X-Tenant-ID				header		string	false	"The tenant; may be left out by a caller that belongs to one"	format(uuid)
//	@Param			tenant_id				query		string	false	"The same as X-Tenant-ID"										format(uuid)
//	@Param			replayed				query		bool	false	"Whether replayed ones count too"	default(false)
//	@Param			reason					query		string	false	"Only letters with this reason"		Enums(invalid_payload,invalid_headers,id_conflict,not_storable,delivery_failed,transmit_failed,endpoint_paused,unknown)
//	@Param			endpoint_id				query		string	false	"Only letters of deliveries to this endpoint"	format(uuid)
//	@Param			from					query		string	false	"Only letters recorded at this time or later"	format(date-time)
//	@Param			to						query		string	false	"Only letters recorded before this time"		format(date-time)
//	@Success		200						{object}	model.DeadLetterGroups
//	@Failure		400,401,403,404,500,503	{object}	model.Problem
//	@Router			/dead-letters/groups [get]
//	@x-scope			"read"
func (d *deadLetterController) groups(c *gin.Context) error {
	replayed, err := queryFlag(c, "replayed")
	if err != nil {
		return err
	}
	filter, err := queryLetterFilter(c)
	if err != nil {
		return err
	}
	groups, err := d.letters.Groups(c.Request.Context(), domain.DeadLetterQuery{TenantID: middleware.Tenant(c).ID, Replayed: replayed, Filter: filter})
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, model.FromDeadLetterGroups(&groups))
}

// get returns one dead letter.
//
//	@Summary	Get a dead letter
//	@ID		getDeadLetter
//	@Tags		dead-letters
//	@Security	BearerAuth
//	@Produce	json
//	@Param		X-Tenant-ID				header		string	false	"The tenant; may be left out by a caller that belongs to one"	format(uuid)
//	@Param		tenant_id				query		string	false	"The same as X-Tenant-ID"										format(uuid)
//	@Param		id						path		integer	true	"Id of the dead letter"											format(int64)
//	@Success	200						{object}	model.DeadLetter
//	@Failure	400,401,403,404,500,503	{object}	model.Problem
//	@Router		/dead-letters/{id} [get]
//	@x-scope		"read"
func (d *deadLetterController) get(c *gin.Context) error {
	seq, ok := parseNumber(c.Param("id"))
	if !ok {
		return domain.New(domain.ErrMalformed, "invalid_id", "The id is not a number.")
	}
	return d.letters.Get(c.Request.Context(), middleware.Tenant(c).ID, seq, func(letter domain.DeadLetter) error {
		head, body, tail, err := model.EncodeDeadLetter(&letter)
		if err != nil {
			return err
		}
		return writePieces(c, head, body, tail)
	})
}

// replay sends dead letters again.
//
//	@Summary		Replay dead letters
//	@ID			replayDeadLetters
//	@Description	Messages that an endpoint did not take (`delivery_failed`, and `transmit_failed` and `endpoint_paused` of earlier versions) are delivered to that endpoint again, at once and with all of its attempts, out of its order; what becomes of it is another letter if need be. The others are published to the tenant's queue again, each under the id it had: replaying twice does not store twice; these are part of the rate at which the tenant may publish, beyond it the answer is 429 `rate_exceeded`. With `all` or `filter` it is about the letters that are there when the call begins and were not replayed yet; when these are more than 1,000 it becomes a job, which goes on by itself (`job_id`, see `GET /dead-letters/jobs/{id}`). A tenant has one job at a time: 409 `dead_letter_job_running`. `skipped` counts those that do not exist, were replayed before, have nowhere to go (their message or their endpoint is gone, or the message is on its way to the endpoint already), or were not through in time; they stay as they were, so that the call can be repeated. 503 means that none was replayed.
//	@Tags			dead-letters
//	@Security		BearerAuth
//	@Accept			json
//	@Produce		json
//	@Param			X-Tenant-ID										header		string					false	"The tenant; may be left out by a caller that belongs to one"	format(uuid)
//	@Param			tenant_id										query		string					false	"The same as X-Tenant-ID"										format(uuid)
//	@Param			body											body		model.SelectDeadLetters	true	"Which: ids, all or filter"
//	@Success		202												{object}	model.Replayed
//	@Header			202												{string}	Location	"Path of the job, if there is one"
//	@Failure		400,401,403,404,408,409,413,415,422,429,500,503	{object}	model.Problem
//	@Router			/dead-letters/replay [post]
//	@x-scope			"manage"
func (d *deadLetterController) replay(c *gin.Context) error {
	selection, err := readSelection(c)
	if err != nil {
		return err
	}
	result, err := d.letters.Replay(c.Request.Context(), middleware.Tenant(c), selection)
	if err != nil {
		return err
	}
	if result.Job != nil {
		locateJob(c, result.Job)
	}
	return writeJSON(c, http.StatusAccepted, model.FromReplay(&result))
}

// remove deletes dead letters.
//
//	@Summary		Purge dead letters
//	@ID			purgeDeadLetters
//	@Description	Deletes letters for good, whether they were replayed or not. With `all` or `filter` it is about the letters that are there when the call begins; a `filter` that more than 1,000 match becomes a job, 202. A tenant has one job at a time: 409 `dead_letter_job_running`. 503 `purge_incomplete` means that the time was not enough: call again for the rest.
//	@Tags			dead-letters
//	@Security		BearerAuth
//	@Accept			json
//	@Produce		json
//	@Param			X-Tenant-ID								header		string					false	"The tenant; may be left out by a caller that belongs to one"	format(uuid)
//	@Param			tenant_id								query		string					false	"The same as X-Tenant-ID"										format(uuid)
//	@Param			body									body		model.SelectDeadLetters	true	"Which: ids, all or filter"
//	@Success		200										{object}	model.Deleted
//	@Success		202										{object}	model.DeadLetterJob
//	@Header			202										{string}	Location	"Path of the job"
//	@Failure		400,401,403,404,408,409,413,415,422,500,503	{object}	model.Problem
//	@Router			/dead-letters [delete]
//	@x-scope			"manage"
func (d *deadLetterController) remove(c *gin.Context) error {
	selection, err := readSelection(c)
	if err != nil {
		return err
	}
	result, err := d.letters.Delete(c.Request.Context(), middleware.Tenant(c).ID, selection)
	if err != nil {
		return err
	}
	if result.Job != nil {
		locateJob(c, result.Job)
		return writeJSON(c, http.StatusAccepted, model.FromDeadLetterJob(result.Job))
	}
	return writeJSON(c, http.StatusOK, model.Deleted{Deleted: result.Deleted})
}

func readSelection(c *gin.Context) (domain.DeadLetterSelection, error) {
	var body model.SelectDeadLetters
	if _, err := readObject(c, &body); err != nil {
		return domain.DeadLetterSelection{}, err
	}
	return body.Domain()
}
