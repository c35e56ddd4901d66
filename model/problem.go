package model

import "lanekeeper/domain"

// ProblemContentType is the media type of a Problem.
const ProblemContentType = "application/problem+json"

// Problem is an error as callers see it (RFC 9457).
type Problem struct {
	// Type is always "about:blank": code says which problem it is.
	Type string `json:"type" validate:"required" example:"about:blank"`
	// Title is the phrase of the HTTP status.
	Title string `json:"title" validate:"required" example:"Not Found"`
	// Status is the HTTP status.
	Status int `json:"status" validate:"required" example:"404"`
	// Detail says in a sentence what is wrong.
	Detail string `json:"detail" validate:"required" example:"There is no such tenant."`
	// Instance is the path of the request.
	Instance string `json:"instance" validate:"required" example:"/api/tenants/0197a3a2-7d2c-7c3e-8f7e-0242ac120002"`
	// Code is stable and made for programs.
	Code string `json:"code" validate:"required" example:"tenant_not_found"`
	// RequestID finds the request in the server's log.
	RequestID string `json:"request_id" validate:"required" example:"0197a3a2-7d2c-7c3e-8f7e-5c1b6a2f9d10"`
	// Errors names the fields, parameters or headers that are to blame.
	Errors []FieldError `json:"errors,omitempty"`
} //@name Problem

// FieldError is what is wrong with one field.
type FieldError struct {
	// Pointer is a JSON pointer into the body (RFC 6901), or the name of a
	// query parameter or header.
	Pointer string `json:"pointer" validate:"required" example:"/workers"`
	// Message says which rule the field breaks.
	Message string `json:"message" validate:"required" example:"must be between 1 and 100"`
} //@name FieldError

// FromFieldErrors converts field errors; none becomes nil.
func FromFieldErrors(fields []domain.FieldError) []FieldError {
	if len(fields) == 0 {
		return nil
	}
	converted := make([]FieldError, len(fields))
	for i, f := range fields {
		converted[i] = FieldError{Pointer: f.Pointer, Message: f.Message}
	}
	return converted
}
