package model

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// StartReplay is the body of POST .../replay. What is left out does not restrict it.
type StartReplay struct {
	// FromSeq is the seq of the first message.
	FromSeq *int `json:"from_seq" minimum:"1" example:"1000"`
	// ToSeq is the seq of the last one.
	ToSeq *int `json:"to_seq" minimum:"1" example:"2000"`
	// From is when the first message was stored, or later.
	From *string `json:"from" format:"date-time" example:"2026-11-21T10:00:00Z"`
	// To is when the last one was stored, or earlier.
	To *string `json:"to" format:"date-time" example:"2026-11-21T11:00:00Z"`
	// Only failed is for messages that were given up, all for those too that were delivered.
	Only *string `json:"only" enums:"all,failed" default:"all" example:"failed"`
	// Types are patterns of types, beside those of the endpoint.
	Types json.RawMessage `json:"types" swaggertype:"array,string" extensions:"x-nullable" example:"order.*"`
	// Rate is how many deliveries begin in a second.
	Rate *int `json:"rate" minimum:"1" maximum:"10000" default:"100" example:"100"`
	// DryRun only counts the messages.
	DryRun *bool `json:"dry_run" default:"false" example:"false"`
} //@name StartReplay

// Domain returns what the caller asks for, or an ErrInvalid.
func (r *StartReplay) Domain() (domain.ReplayRequest, error) {
	var f fieldReader
	request := domain.ReplayRequest{
		FromSeq: r.FromSeq, ToSeq: r.ToSeq, From: r.From, To: r.To, Only: r.Only, Rate: r.Rate, DryRun: r.DryRun != nil && *r.DryRun,
	}
	if types := readField[[]string](&f, "/types", r.Types, "must be a list of text, or null"); types.Value != nil {
		request.Types = *types.Value
	}
	return request, f.err()
}

// Replay is a replay as callers see it.
type Replay struct {
	// ID is null for a dry run.
	ID         *string `json:"id" validate:"required" format:"uuid" extensions:"x-nullable" example:"0197a3a3-11d2-7a51-9a3e-0242ac12000a"`
	EndpointID string  `json:"endpoint_id" validate:"required" format:"uuid" example:"0197a3a2-7d2c-7c3e-8f7e-0242ac120004"`
	// State is dry_run where nothing is replayed.
	State string `json:"state" validate:"required" enums:"running,done,canceled,dry_run" example:"running"`
	// FromSeq and ToSeq are the first and the last message of the range.
	FromSeq int64    `json:"from_seq" validate:"required" example:"1000"`
	ToSeq   int64    `json:"to_seq" validate:"required" example:"2000"`
	Only    string   `json:"only" validate:"required" enums:"all,failed" example:"failed"`
	Types   []string `json:"types" validate:"required" example:"order.*"`
	Rate    int      `json:"rate" validate:"required" example:"100"`
	// Total is how many messages it is about, and Done how many of them it has passed: delivered, or to be tried again as others are.
	Total     int64      `json:"total" validate:"required" example:"37"`
	Done      int64      `json:"done" validate:"required" example:"12"`
	CreatedAt *time.Time `json:"created_at" validate:"required" format:"date-time" extensions:"x-nullable" example:"2026-11-21T12:00:00Z"`
	// EndedAt is null while it runs.
	EndedAt *time.Time `json:"ended_at" validate:"required" format:"date-time" extensions:"x-nullable" example:"2026-11-21T12:01:00Z"`
} //@name Replay

// FromReplayOf returns a replay as callers see it.
func FromReplayOf(r *domain.Replay) Replay {
	answer := Replay{
		ID: optionalID(r.ID), EndpointID: r.EndpointID.String(), State: string(r.State), FromSeq: r.From, ToSeq: r.To, Only: "all",
		Types: make([]string, len(r.Types)), Rate: r.Rate, Total: r.Total, Done: r.Done, CreatedAt: optionalTime(r.CreatedAt), EndedAt: optionalTime(r.EndedAt),
	}
	if r.ID == uuid.Nil {
		answer.State = "dry_run"
	}
	if r.OnlyFailed {
		answer.Only = "failed"
	}
	for i, pattern := range r.Types {
		answer.Types[i] = string(pattern)
	}
	return answer
}

// ReplayList has the newest replays of an endpoint.
type ReplayList struct {
	Data []Replay `json:"data" validate:"required"`
} //@name ReplayList

// FromReplays returns a list of replays.
func FromReplays(replays []domain.Replay) ReplayList {
	list := ReplayList{Data: make([]Replay, len(replays))}
	for i := range replays {
		list.Data[i] = FromReplayOf(&replays[i])
	}
	return list
}
