package main

// explanation is what a code means, and what its receiver should do.
type explanation struct {
	meaning, action string
	// also are statuses of a code that is put together elsewhere than where its kind is.
	also []int
}

// What receivers of several codes should do.
const (
	correct  = "Correct the request; it will not succeed as it is."
	again    = "Try again after `Retry-After`, with growing pauses."
	sameKey  = "Try again after `Retry-After`, with the same `Idempotency-Key`."
	logIn    = "Log in again, or use another API key."
	askAdmin = "Ask whoever runs the service."
	lookUp   = "Look the id up again; do not retry."
	waitDone = "Wait for the other one to end, or cancel it."
)

// unseen are codes that no caller gets: of errors between the parts of the service, of
// commands, and of streams, which end with a comment.
func unseen() []string {
	return []string{
		"append_refused", "append_unavailable", "dead_letter_job_lost", "endpoint_busy", "queue_not_found",
		"stream_closed", "ticket_lost", "ticket_not_found", "ticket_taken_over", "user_disabled",
	}
}

func explanations() map[string]explanation {
	return map[string]explanation{
		// The request cannot be read.
		"malformed_request":         {"What was sent is no HTTP request.", correct, []int{400}},
		"tls_required":              {"The service speaks HTTPS here.", "Use a URL that begins with https://.", []int{400}},
		"not_json":                  {"The body is not valid JSON.", correct, nil},
		"empty_body":                {"The body is empty.", correct, nil},
		"invalid_utf8":              {"The body is not valid UTF-8.", correct, nil},
		"body_not_gzip":             {"The body is not what its `Content-Encoding` says, or broke off.", correct, nil},
		"body_unreadable":           {"The body broke off.", "Send it again.", nil},
		"invalid_id":                {"An id in the path or a header has not the form of one.", correct, nil},
		"invalid_query":             {"A parameter of the query is not valid, or is there twice; `errors` names it.", correct, nil},
		"invalid_cursor":            {"The place where a stream should begin is not a number.", "Use the `seq` of a message, or leave it out.", nil},
		"repeated_header":           {"A header was sent more than once.", correct, nil},
		"tenant_required":           {"The call is about one tenant, and names none.", "Name it in the header `X-Tenant-ID`.", nil},
		"tenant_mismatch":           {"`X-Tenant-ID` and `tenant_id` name different tenants.", correct, nil},
		"key_not_for_batch":         {"A batch came with an `Idempotency-Key` of its own.", "Give its messages an `idempotency_key` each.", nil},
		"body_too_slow":             {"The body did not come in time.", "Send it again, over a faster connection or in smaller parts.", nil},
		"uri_too_long":              {"The URL is too long.", correct, []int{414}},
		"too_many_headers":          {"There are too many headers, or they are too long.", correct, []int{431}},
		"expectation_unknown":       {"The header `Expect` asks for something else than 100-continue.", correct, []int{417}},
		"transfer_encoding_unknown": {"The `Transfer-Encoding` is not understood.", correct, []int{501}},
		"http_version_unknown":      {"The version of HTTP is not spoken here.", "Use HTTP/1.1.", []int{505}},

		// Who calls, and what they may do.
		"token_missing":       {"There is no token in the header `Authorization`.", "Log in (`POST /login`), or send an API key.", nil},
		"token_invalid":       {"The token is none of this service.", logIn, nil},
		"token_expired":       {"The token has expired.", "Log in again.", nil},
		"token_revoked":       {"The token does not count any more: its user logged out, has another password, was disabled or deleted.", "Log in again.", nil},
		"key_invalid":         {"The API key is unknown, was revoked, or has expired.", "Use another one.", nil},
		"portal_invalid":      {"The portal link has expired, was revoked, or ended with its tenant or with who made it.", "Have the product make another one (`POST /tenants/{id}/portal-links`).", nil},
		"portal_not_accepted": {"Portal links cannot make this call.", "Log in, or use an API key.", nil},
		"invalid_credentials": {"Email or password is wrong.", "Ask the user again; do not retry.", nil},
		"ticket_invalid":      {"The ticket of a stream is unknown, has expired, or was used.", "Get another one (`POST /messages/stream/tickets`).", nil},
		"forbidden":           {"The caller may see the tenant, but not do this.", "Ask its owner, or an admin.", nil},
		"role_insufficient":   {"The call needs a higher role.", "Ask an admin.", nil},
		"scope_insufficient":  {"The API key, or the portal link, is not for calls of this kind.", "Use one with the scope that `detail` names.", nil},
		"key_not_accepted":    {"API keys cannot make this call.", "Log in, and use the token.", nil},
		"tenant_bound":        {"A caller that belongs to a tenant creates none.", "Ask an admin.", nil},
		"tenant_deleted":      {"The tenant that the caller belongs to, or that the `Idempotency-Key` made, was deleted.", "Use another key, or another user.", nil},
		"host_not_allowed":    {"In open mode only requests to localhost are answered.", "Use http://localhost, or have a `jwt_secret` set.", nil},
		"origin_not_allowed":  {"Web pages of this origin may not call the service.", "Have the origin added to `cors_origins`.", nil},
		"peer_not_allowed":    {"In open mode only this machine, and `open_mode_peers`, are answered.", askAdmin, nil},

		// It is not there, or not any more.
		"route_not_found":            {"There is no such path.", correct, []int{404}},
		"method_not_allowed":         {"The path is not for this method; the header `Allow` says for which.", correct, []int{405}},
		"tenant_not_found":           {"There is no such tenant, or not for this caller.", lookUp, nil},
		"message_not_found":          {"There is no such message. One that was just accepted may not be stored yet.", lookUp, nil},
		"replica_not_found":          {"There is no such replica; one that ended is forgotten.", lookUp, nil},
		"endpoint_not_found":         {"There is no such endpoint.", lookUp, nil},
		"dead_letter_not_found":      {"There is no such dead letter.", lookUp, nil},
		"dead_letter_job_not_found":  {"There is no such job about dead letters.", lookUp, nil},
		"replay_not_found":           {"There is no such replay.", lookUp, nil},
		"amqp_credentials_not_found": {"The tenant has no credentials of the broker.", "Issue some, if that is what is wanted.", nil},
		"api_key_not_found":          {"There is no such API key.", lookUp, nil},
		"user_not_found":             {"There is no such user.", lookUp, nil},
		"nothing_to_replay":          {"There is nothing to replay in the range.", "Ask for another range.", nil},
		"cursor_expired":             {"Messages after this cursor are not kept any longer.", "Begin again with cursor 0, and expect a gap.", nil},

		// The state of something does not allow it.
		"amqp_not_configured":     {"The service cannot make users of the broker: rabbitmq.management_url is not set.", "Publish through the API, or ask the operator.", nil},
		"tenant_inactive":         {"The tenant is inactive: it takes no messages and has no consumer.", "Set its status to active.", nil},
		"tenant_provisioning":     {"The tenant is still being made.", again, []int{409}},
		"tenant_deleting":         {"The tenant is being deleted.", lookUp, []int{409}},
		"cursor_ahead":            {"The cursor is ahead of the history, as after a restore of the database.", "Begin again with the last cursor that the history gave.", nil},
		"endpoint_disabled":       {"The endpoint is disabled, so it cannot be held.", "Resume it first.", nil},
		"endpoint_deleted":        {"The endpoint that the `Idempotency-Key` made was deleted.", "Use another key.", nil},
		"endpoint_unreadable":     {"No key decrypts the endpoint's secret and headers.", "Have the key put back, or set a new secret and new headers.", nil},
		"external_id_ambiguous":   {"Tenants of several owners, of which none is the caller's, have the external id behind `ext:`.", "Use the tenant's id.", nil},
		"external_id_contended":   {"The tenant with this external id was made and deleted several times meanwhile.", "Try again.", nil},
		"external_id_taken":       {"Another one has this external id.", "Use another external id, or change the other one.", nil},
		"email_taken":             {"Another user has this email address.", "Use another address.", nil},
		"own_account":             {"Nobody shuts out their own account.", "Have another admin do it.", nil},
		"built_in_admin":          {"The built-in admin of open mode has no password and no tokens.", "Log in as a user.", nil},
		"no_owner":                {"The tenant has no owner with whom an API key could end.", "Have an admin who is a user make the key.", nil},
		"nothing_to_skip":         {"The endpoint is not stuck at a message.", "Do nothing.", nil},
		"not_yet_settled":         {"The endpoint has not got as far as this message.", "Do nothing: it is delivered in its turn.", nil},
		"waits_for_key":           {"The message waits behind another one of its ordering key.", "Do nothing: it is delivered after that.", nil},
		"replay_running":          {"The endpoint has a replay that runs.", waitDone, nil},
		"dead_letter_job_running": {"The tenant has a job about dead letters that runs.", waitDone, nil},
		"ticket_in_use":           {"Another stream is open with this ticket.", "Get another ticket for another stream.", nil},

		// What was sent breaks a rule.
		"invalid_fields":           {"Some fields break a rule; `errors` names them.", correct, []int{422}},
		"idempotency_key_reused":   {"The `Idempotency-Key` was used before with another body.", "Use another key for another body.", nil},
		"wrong_password":           {"The current password is wrong.", "Ask the user again; do not retry.", nil},
		"too_deep":                 {"The JSON is nested too deep.", correct, nil},
		"payload_not_json":         {"The payload is not valid JSON.", correct, []int{422}},
		"payload_too_deep":         {"The payload is nested deeper than 128 levels.", correct, []int{422}},
		"payload_number_too_large": {"A number of the payload has more than 1,000 digits when it is written out.", correct, []int{422}},
		"payload_nul":              {"The payload has the character \\u0000, which cannot be stored.", correct, []int{422}},
		"payload_bad_unicode":      {"The payload has half of a character (a lone surrogate).", correct, []int{422}},
		"payload_too_large":        {"The payload has more than 1 MiB.", "Send less, such as the address of it.", []int{413}},
		"body_too_large":           {"The body is larger than the call takes.", "Send less at a time.", nil},
		"headers_too_large":        {"The headers of a message, or of the request (431), are too large.", "Send less in headers.", []int{431}},
		"unsupported_media_type":   {"The `Content-Type` is not one that the call takes.", correct, nil},
		"unsupported_encoding":     {"The `Content-Encoding` is not understood.", correct, nil},

		// Too much of something.
		"rate_exceeded":   {"The tenant publishes faster than it may.", "Slow down, and try again after `Retry-After`.", nil},
		"backlog_full":    {"Too many messages, or bytes, of the tenant or its owner wait to be stored.", "Wait for `Retry-After`; start the consumer if it is stopped.", nil},
		"quota_exceeded":  {"A limit of the owner is reached; `errors` names it.", "Delete something, or have the limit raised.", nil},
		"too_many_keys":   {"Too many API keys that do not exist came from this address.", "Use a key that exists, after `Retry-After`.", nil},
		"too_many_logins": {"Too many logins have failed.", "Wait for `Retry-After`.", nil},

		// The service, or what it needs, cannot do it now.
		"timeout":                  {"The request was not done in time; whether it was done is unknown.", sameKey, nil},
		"publish_unknown":          {"The broker did not confirm in time, so whether the message is published is unknown.", sameKey, nil},
		"publish_refused":          {"The broker refused the message.", sameKey, nil},
		"publish_ended":            {"The call ended before its turn came; nothing was published.", sameKey, nil},
		"broker_unavailable":       {"The message broker cannot be reached.", sameKey, nil},
		"broker_blocked":           {"The message broker is short of memory or disk, and takes nothing.", sameKey, nil},
		"broker_capacity":          {"The message broker has no room for another queue.", askAdmin, nil},
		"broker_refused":           {"The message broker does not let the service do that.", askAdmin, nil},
		"queue_missing":            {"The tenant's queue is not there, and is being repaired.", sameKey, nil},
		"queue_silent":             {"The tenant's queue does not answer; nothing was published.", sameKey, nil},
		"idempotency_unavailable":  {"Idempotency keys cannot be checked.", sameKey, nil},
		"database_unavailable":     {"The database cannot be reached.", again, nil},
		"database_busy":            {"All connections to the database are in use.", again, nil},
		"database_locked":          {"Others have locked what the call needs.", again, nil},
		"busy":                     {"Somebody else is working on the same thing.", again, nil},
		"caller_busy":              {"Too many calls of this caller wait for the database.", "Make fewer calls at a time.", nil},
		"tenant_busy":              {"Too many calls for the tenant, or its owner, wait.", "Make fewer calls at a time.", nil},
		"answers_busy":             {"Too many large answers wait to be read.", again, nil},
		"body_budget":              {"There are too many bodies in memory.", "Send fewer at a time, after `Retry-After`.", nil},
		"keys_busy":                {"Too many API keys are being looked up.", again, nil},
		"logins_busy":              {"Too many logins at a time.", again, nil},
		"dead_letters_unavailable": {"There was not enough time.", again, nil},
		"purge_incomplete":         {"Some dead letters were deleted, and not all.", "Call again for the rest.", nil},
		"streams_full":             {"Too many streams are open.", "Close some, or try again after `Retry-After`.", nil},
		"tenant_streams_full":      {"The tenant has too many streams open.", "Close some, or try again after `Retry-After`.", nil},
		"too_many_connections":     {"There are too many connections.", "Use fewer, and use them again.", []int{503}},
		"shutting_down":            {"The service is shutting down.", "Connect again; another replica takes it.", nil},
		"internal_error":           {"Something went wrong in the service.", "Try again once; then report it with the `request_id`.", []int{500}},
	}
}
