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

// replayService has messages delivered again.
type replayService interface {
	Start(ctx context.Context, p domain.Principal, tenantID, id uuid.UUID, wanted *domain.ReplayRequest) (domain.Replay, error)
	Get(ctx context.Context, p domain.Principal, tenantID, id, replayID uuid.UUID) (domain.Replay, error)
	List(ctx context.Context, p domain.Principal, tenantID, id uuid.UUID) ([]domain.Replay, error)
	Cancel(ctx context.Context, p domain.Principal, tenantID, id, replayID uuid.UUID) (domain.Replay, error)
}

type replayController struct {
	replays replayService
}

// start has a range of messages delivered again.
//
//	@Summary		Replay a range of messages to an endpoint
//	@ID			startReplay
//	@Description	Delivers stored messages of the range to the endpoint again, behind what is live and out of order, marked with the header `lanekeeper-replay`. Which ones is fixed when it begins; those whose delivery is open anyway are left out. With `dry_run` nothing is delivered, and the answer, 200, has the `total`. An endpoint has one replay at a time: 409 `replay_running`. 404 where there is nothing in the range.
//	@Tags			endpoints
//	@Security		BearerAuth
//	@Accept			json
//	@Produce		json
//	@Param			id											path		string				true	"Id of the tenant"		format(uuid)
//	@Param			endpoint_id									path		string				true	"Id of the endpoint"	format(uuid)
//	@Param			body										body		model.StartReplay	true	"Which messages, and how fast"
//	@Success		200											{object}	model.Replay		"Of a dry run"
//	@Success		202											{object}	model.Replay
//	@Header			202											{string}	Location	"Path of the replay"
//	@Failure		400,401,403,404,408,409,413,415,422,500,503	{object}	model.Problem
//	@Router			/tenants/{id}/endpoints/{endpoint_id}/replay [post]
//	@x-scope			"manage"
func (r *replayController) start(c *gin.Context) error {
	tenantID, id, err := pathEndpoint(c)
	if err != nil {
		return err
	}
	var body model.StartReplay
	if _, err := readObject(c, &body); err != nil {
		return err
	}
	wanted, err := body.Domain()
	if err != nil {
		return err
	}
	replay, err := r.replays.Start(c.Request.Context(), middleware.Principal(c), tenantID, id, &wanted)
	if err != nil {
		return err
	}
	if wanted.DryRun {
		return writeJSON(c, http.StatusOK, model.FromReplayOf(&replay))
	}
	c.Header("Location", location(c, "/tenants/"+tenantID.String()+"/endpoints/"+id.String()+"/replays/"+replay.ID.String()))
	return writeJSON(c, http.StatusAccepted, model.FromReplayOf(&replay))
}

// list returns the newest replays.
//
//	@Summary		List replays
//	@ID			listReplays
//	@Description	The newest 20 of the endpoint, the newest first.
//	@Tags			endpoints
//	@Security		BearerAuth
//	@Produce		json
//	@Param			id						path		string	true	"Id of the tenant"		format(uuid)
//	@Param			endpoint_id				path		string	true	"Id of the endpoint"	format(uuid)
//	@Success		200						{object}	model.ReplayList
//	@Failure		400,401,403,404,500,503	{object}	model.Problem
//	@Router			/tenants/{id}/endpoints/{endpoint_id}/replays [get]
//	@x-scope			"read"
func (r *replayController) list(c *gin.Context) error {
	tenantID, id, err := pathEndpoint(c)
	if err != nil {
		return err
	}
	replays, err := r.replays.List(c.Request.Context(), middleware.Principal(c), tenantID, id)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, model.FromReplays(replays))
}

// get returns how far a replay is.
//
//	@Summary	Get a replay
//	@ID		getReplay
//	@Tags		endpoints
//	@Security	BearerAuth
//	@Produce	json
//	@Param		id						path		string	true	"Id of the tenant"		format(uuid)
//	@Param		endpoint_id				path		string	true	"Id of the endpoint"	format(uuid)
//	@Param		replay_id				path		string	true	"Id of the replay"		format(uuid)
//	@Success	200						{object}	model.Replay
//	@Failure	400,401,403,404,500,503	{object}	model.Problem
//	@Router		/tenants/{id}/endpoints/{endpoint_id}/replays/{replay_id} [get]
//	@x-scope		"read"
func (r *replayController) get(c *gin.Context) error {
	return r.answer(c, r.replays.Get)
}

// cancel ends a replay.
//
//	@Summary		Cancel a replay
//	@ID			cancelReplay
//	@Description	What it has begun to deliver goes on. One that has ended stays as it is.
//	@Tags			endpoints
//	@Security		BearerAuth
//	@Produce		json
//	@Param			id						path		string	true	"Id of the tenant"		format(uuid)
//	@Param			endpoint_id				path		string	true	"Id of the endpoint"	format(uuid)
//	@Param			replay_id				path		string	true	"Id of the replay"		format(uuid)
//	@Success		200						{object}	model.Replay
//	@Failure		400,401,403,404,500,503	{object}	model.Problem
//	@Router			/tenants/{id}/endpoints/{endpoint_id}/replays/{replay_id} [delete]
//	@x-scope			"manage"
func (r *replayController) cancel(c *gin.Context) error {
	return r.answer(c, r.replays.Cancel)
}

// answer answers with a replay as a call leaves it.
func (r *replayController) answer(c *gin.Context, call func(ctx context.Context, p domain.Principal, tenantID, id, replayID uuid.UUID) (domain.Replay, error)) error {
	tenantID, id, err := pathEndpoint(c)
	if err != nil {
		return err
	}
	replayID, err := domain.ParseID(c.Param("replay_id"))
	if err != nil {
		return err
	}
	replay, err := call(c.Request.Context(), middleware.Principal(c), tenantID, id, replayID)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, model.FromReplayOf(&replay))
}
