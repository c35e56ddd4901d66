package server

import (
	"context"

	"github.com/exaring/otelpgx"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/trace"
)

// statements makes spans of statements, of what is recorded. The tracer that it has would
// measure all others as well, for metrics that the service does not have, and most
// statements are run for nobody's request.
type statements struct{ tracer *otelpgx.Tracer }

// pgx asks for each of these by itself, and would go without.
var (
	_ pgx.QueryTracer   = (*statements)(nil)
	_ pgx.BatchTracer   = (*statements)(nil)
	_ pgx.PrepareTracer = (*statements)(nil)
	_ pgx.ConnectTracer = (*statements)(nil)
)

// recorded reports whether ctx is part of something that is recorded.
func recorded(ctx context.Context) bool { return trace.SpanFromContext(ctx).IsRecording() }

// TraceQueryStart begins the span of a statement.
func (s *statements) TraceQueryStart(ctx context.Context, conn *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	if !recorded(ctx) {
		return ctx
	}
	return s.tracer.TraceQueryStart(ctx, conn, data)
}

// TraceQueryEnd ends it.
func (s *statements) TraceQueryEnd(ctx context.Context, conn *pgx.Conn, data pgx.TraceQueryEndData) {
	if recorded(ctx) {
		s.tracer.TraceQueryEnd(ctx, conn, data)
	}
}

// TraceBatchStart begins the span of statements that are sent at once.
func (s *statements) TraceBatchStart(ctx context.Context, conn *pgx.Conn, data pgx.TraceBatchStartData) context.Context {
	if !recorded(ctx) {
		return ctx
	}
	return s.tracer.TraceBatchStart(ctx, conn, data)
}

// TraceBatchQuery takes the result of one of them.
func (s *statements) TraceBatchQuery(ctx context.Context, conn *pgx.Conn, data pgx.TraceBatchQueryData) {
	if recorded(ctx) {
		s.tracer.TraceBatchQuery(ctx, conn, data)
	}
}

// TraceBatchEnd ends their span.
func (s *statements) TraceBatchEnd(ctx context.Context, conn *pgx.Conn, data pgx.TraceBatchEndData) {
	if recorded(ctx) {
		s.tracer.TraceBatchEnd(ctx, conn, data)
	}
}

// TracePrepareStart begins the span of a statement that is prepared.
func (s *statements) TracePrepareStart(ctx context.Context, conn *pgx.Conn, data pgx.TracePrepareStartData) context.Context {
	if !recorded(ctx) {
		return ctx
	}
	return s.tracer.TracePrepareStart(ctx, conn, data)
}

// TracePrepareEnd ends it.
func (s *statements) TracePrepareEnd(ctx context.Context, conn *pgx.Conn, data pgx.TracePrepareEndData) {
	if recorded(ctx) {
		s.tracer.TracePrepareEnd(ctx, conn, data)
	}
}

// TraceConnectStart begins the span of a connection that is made.
func (s *statements) TraceConnectStart(ctx context.Context, data pgx.TraceConnectStartData) context.Context {
	if !recorded(ctx) {
		return ctx
	}
	return s.tracer.TraceConnectStart(ctx, data)
}

// TraceConnectEnd ends it.
func (s *statements) TraceConnectEnd(ctx context.Context, data pgx.TraceConnectEndData) {
	if recorded(ctx) {
		s.tracer.TraceConnectEnd(ctx, data)
	}
}
