package controller

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"lanekeeper/controller/middleware"
	"lanekeeper/domain"
	"lanekeeper/model"
)

// getJob returns how far a job is.
//
//	@Summary	Get a job about dead letters
//	@Tags		dead letters
//	@Security	BearerAuth
//	@Produce	json
//	@Param		X-Tenant-ID				header		string	false	"The tenant; may be left out by a caller that belongs to one"	format(uuid)
//	@Param		tenant_id				query		string	false	"The same as X-Tenant-ID"										format(uuid)
//	@Param		id						path		string	true	"Id of the job"													format(uuid)
//	@Success	200						{object}	model.DeadLetterJob
//	@Failure	400,401,403,404,500,503	{object}	model.Problem
//	@Router		/dead-letters/jobs/{id} [get]
func (d *deadLetterController) getJob(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	job, err := d.letters.Job(c.Request.Context(), middleware.Tenant(c).ID, id)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, model.FromDeadLetterJob(&job))
}

// cancelJob ends a job.
//
//	@Summary		Cancel a job about dead letters
//	@Description	The letters that it has not come to stay as they are. A job that has ended stays as it is.
//	@Tags			dead letters
//	@Security		BearerAuth
//	@Produce		json
//	@Param			X-Tenant-ID				header		string	false	"The tenant; may be left out by a caller that belongs to one"	format(uuid)
//	@Param			tenant_id				query		string	false	"The same as X-Tenant-ID"										format(uuid)
//	@Param			id						path		string	true	"Id of the job"													format(uuid)
//	@Success		200						{object}	model.DeadLetterJob
//	@Failure		400,401,403,404,500,503	{object}	model.Problem
//	@Router			/dead-letters/jobs/{id} [delete]
func (d *deadLetterController) cancelJob(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	job, err := d.letters.CancelJob(c.Request.Context(), middleware.Tenant(c).ID, id)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, model.FromDeadLetterJob(&job))
}

// locateJob says where a job is that a call has become.
func locateJob(c *gin.Context, job *domain.DeadLetterJob) {
	c.Header("Location", location(c, "/dead-letters/jobs/"+job.ID.String()))
}
