// Package auth knows which user calls: it keeps the users, checks passwords,
// issues tokens and API keys and verifies them.
//
//   - Service is what the rest of the process asks. It starts no goroutine.
//   - APIKeys makes, lists and revokes API keys (apikeys), and knows which are valid
//     (apikeys_known): from memory, with the same freshness as users. What somebody
//     makes up costs a bounded number of questions to the database. Run owns the
//     goroutines that record uses (apikeys_uses) and delete what is dead.
//   - keyHolders finds who calls with a key: its owner, within its scopes.
//   - Links makes and ends portal links (links), which are kept nowhere: what one is for
//     stands in its token (links_text), and linkHolders finds who calls with it, and
//     whether it still counts (links_holder).
//   - tokens are HS256 JWTs; what their bearer may do comes from the user's row,
//     not from the token.
//   - logins checks passwords. An unknown user, a missing password and a wrong one
//     take the same time.
//   - passwords are hashed with argon2id; bcrypt hashes, which people insert by
//     SQL, and those of earlier versions are accepted and replaced at the next login.
//   - turns lets few passwords be hashed at a time.
//   - guesses bounds failed logins, for all replicas: by account and address
//     together, by address, and in all.
//   - accounts has the users in memory, fresh for 2 s and, while the database is
//     away, as they were known last. What this replica or another one changes is
//     forgotten at once: Forget.
//
// How fresh an answer is:
//
//	Authenticate, Recheck   the user's row, at most some seconds old
//	Login, IssueFor         the database
package auth
