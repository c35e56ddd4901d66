// Package auth knows which user calls: it keeps the users, checks passwords,
// issues tokens and verifies them.
//
//   - Service is what the rest of the process asks. It starts no goroutine.
//   - tokens are HS256 JWTs; what their bearer may do comes from the user's row,
//     not from the token.
//   - passwords are hashed with argon2id; bcrypt hashes, which people insert by
//     SQL, are accepted and replaced at the next login. An unknown user, a missing
//     password and a wrong one take the same time.
//   - limiter bounds failed logins, by account and by address.
//   - accounts has the users in memory, fresh for 2 s and, while the database is
//     away, as they were known last. What this replica or another one changes is
//     forgotten at once: Forget.
//
// How fresh an answer is:
//
//	Authenticate, Recheck   the user's row, at most some seconds old
//	Login, IssueFor         the database
package auth
