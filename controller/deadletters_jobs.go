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
//	@ID		getDeadLetterJob
//	@Tags		dead-letters
//	@Security	BearerAuth
//	@Produce	json
//	@Param		X-Tenant-ID				header		string	false	"The tenant; may be left out by a caller that belongs to one"	format(uuid)
//	@Param		tenant_id				query		string	false	"The same as X-Tenant-ID"										format(uuid)
//	@Param		id						path		string	true	"Id of the job"													format(uuid)
//	@Success	200						{object}	model.DeadLetterJob
//	@Failure	400,401,403,404,500,503	{object}	model.Problem
//	@Router		/dead-letters/jobs/{id} [get]
//	@x-scope		"read"
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

// listJobs returns the newest jobs.
//
//	@Summary		List jobs about dead letters
//	@ID			listDeadLetterJobs
//	@Description	The newest 20 of the tenant, the newest first: at most one of them runs. Those that have ended are kept for a week.
//	@Tags			dead-letters
//	@Security		BearerAuth
//	@Produce		json
//	@Param			X-Tenant-ID				header		string	false	"The tenant; may be left out by a caller that belongs to one"	format(uuid)
//	@Param			tenant_id				query		string	false	"The same as X-Tenant-ID"										format(uuid)
//	@Success		200						{object}	model.DeadLetterJobList
//	@Failure		400,401,403,404,500,503	{object}	model.Problem
//	@Router			/dead-letters/jobs [get]
//	@x-scope			"read"
func (d *deadLetterController) listJobs(c *gin.Context) error {
	jobs, err := d.letters.Jobs(c.Request.Context(), middleware.Tenant(c).ID)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, model.FromDeadLetterJobs(jobs))
}

// cancelJob ends a job.
//
//	@Summary		Cancel a job about dead letters
//	@ID			cancelDeadLetterJob
//	@Description	The letters that it has not come to stay as they are. A job that has ended stays as it is.
//	@Tags			dead-letters
//	@Security		BearerAuth
//	@Produce		json
//	@Param			X-Tenant-ID				header		string	false	"The tenant; may be left out by a caller that belongs to one"	format(uuid)
//	@Param			tenant_id				query		string	false	"The same as X-Tenant-ID"										format(uuid)
//	@Param			id						path		string	true	"Id of the job"													format(uuid)
//	@Success		200						{object}	model.DeadLetterJob
//	@Failure		400,401,403,404,500,503	{object}	model.Problem
//	@Router			/dead-letters/jobs/{id} [delete]
//	@x-scope			"manage"
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

// maxShapeLength is how long an error may be that is asked for, in bytes.
const maxShapeLength = 300

// summaries returns a page of letters without what they carry.
//
//	@Summary		List dead letters without what they carry
//	@ID			listDeadLetterSummaries
//	@Description	Newest first, with the beginning of each error and no bodies, so that a page is small. With `error`, which is the one of a group, only letters of such groups: these are looked for among the newest 100,000 at a time, so that a page may have fewer than `limit`, and none: follow `next_cursor`.
//	@Tags			dead-letters
//	@Security		BearerAuth
//	@Produce		json
//	@Param			X-Tenant-ID				header		string	false	"The tenant; may be left out by a caller that belongs to one"	format(uuid)
//	@Param			tenant_id				query		string	false	"The same as X-Tenant-ID"										format(uuid)
//	@Param			cursor					query		string	false	"`next_cursor` of the page before; 0 begins with the newest"
//	@Param			limit					query		int		false	"How many at most"					minimum(1)	maximum(1000)	default(50)
//	@Param			replayed				query		bool	false	"Whether to list replayed ones too"	default(false)
//	@Param			reason					query		string	false	"Only letters with this reason"		Enums(invalid_payload,invalid_headers,id_conflict,not_storable,delivery_failed,transmit_failed,endpoint_paused,unknown)
//	@Param			endpoint_id				query		string	false	"Only letters of deliveries to this endpoint"	format(uuid)
//	@Param			from					query		string	false	"Only letters recorded at this time or later"	format(date-time)
//	@Param			to						query		string	false	"Only letters recorded before this time"		format(date-time)
//	@Param			error					query		string	false	"Only letters of groups with this `error`"		maxlength(300)
//	@Success		200						{object}	model.DeadLetterSummaryPage
//	@Failure		400,401,403,404,500,503	{object}	model.Problem
//	@Router			/dead-letters/summaries [get]
//	@x-scope			"read"
func (d *deadLetterController) summaries(c *gin.Context) error {
	before, _, err := querySeq(c)
	if err != nil {
		return err
	}
	q := domain.DeadLetterQuery{TenantID: middleware.Tenant(c).ID, UpTo: max(0, before-1)}
	if q.Limit, err = queryLimit(c); err != nil {
		return err
	}
	if q.Replayed, err = queryFlag(c, "replayed"); err != nil {
		return err
	}
	if q.Filter, err = queryLetterFilter(c); err != nil {
		return err
	}
	shape, _, err := middleware.Query(c, "error")
	if err != nil {
		return err
	}
	if len(shape) > maxShapeLength {
		return middleware.InvalidQuery("error", "must be the error of a group")
	}
	page := domain.DeadLetterFailures{}
	if before != 1 { // before the first there is none
		if page, err = d.letters.Failures(c.Request.Context(), q, shape); err != nil {
			return err
		}
	}
	return writeJSON(c, http.StatusOK, model.FromDeadLetterFailures(&page))
}
