package model

import (
	"time"

	"lanekeeper/domain"
)

// DeadLetterJob replays or deletes more than 1,000 dead letters.
type DeadLetterJob struct {
	JobID    string `json:"job_id" validate:"required" format:"uuid" example:"0197a3a5-7d2c-7c3e-8f7e-0242ac120005"`
	TenantID string `json:"tenant_id" validate:"required" format:"uuid" example:"0197a3a2-7d2c-7c3e-8f7e-0242ac120002"`
	Action   string `json:"action" validate:"required" enums:"replay,delete" example:"replay"`
	State    string `json:"state" validate:"required" enums:"running,done,canceled" example:"running"`
	// Total is how many letters it is about: those that there were when it began.
	Total int64 `json:"total" validate:"required" format:"int64" example:"250000"`
	// Done is how many of them it has looked at, and skipped how many of these are as
	// they were, or gone.
	Done    int64 `json:"done" validate:"required" format:"int64" example:"1000"`
	Skipped int64 `json:"skipped" validate:"required" format:"int64" example:"0"`
	// WaitsFor says why it does not get on at the moment; "" when it does.
	WaitsFor  string    `json:"waits_for" validate:"required" example:""`
	CreatedAt time.Time `json:"created_at" validate:"required" format:"date-time" example:"2026-11-21T10:00:00.123456Z"`
	// EndedAt is null while it runs.
	EndedAt *time.Time `json:"ended_at" validate:"required" format:"date-time" extensions:"x-nullable" example:"2026-11-21T10:10:00Z"`
} //@name DeadLetterJob

// FromDeadLetterJob returns the answer about a job.
func FromDeadLetterJob(j *domain.DeadLetterJob) DeadLetterJob {
	answer := DeadLetterJob{
		JobID: j.ID.String(), TenantID: j.TenantID.String(), Action: string(j.Action), State: string(j.State),
		Total: j.Total, Done: j.Done, Skipped: j.Skipped, WaitsFor: j.WaitsFor, CreatedAt: j.CreatedAt.UTC(),
	}
	if !j.EndedAt.IsZero() {
		at := j.EndedAt.UTC()
		answer.EndedAt = &at
	}
	return answer
}

// DeadLetterJobList has the newest jobs of a tenant.
type DeadLetterJobList struct {
	Data []DeadLetterJob `json:"data" validate:"required"`
} //@name DeadLetterJobList

// FromDeadLetterJobs returns a list of jobs.
func FromDeadLetterJobs(jobs []domain.DeadLetterJob) DeadLetterJobList {
	list := DeadLetterJobList{Data: make([]DeadLetterJob, len(jobs))}
	for i := range jobs {
		list.Data[i] = FromDeadLetterJob(&jobs[i])
	}
	return list
}
