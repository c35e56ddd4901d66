package controller

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"

	"lanekeeper/controller/middleware"
	"lanekeeper/domain"
	"lanekeeper/model"
)

// selfService is what callers do with their own accounts.
type selfService interface {
	// Self returns the user of a caller, or nil for the built-in admin.
	Self(ctx context.Context, p domain.Principal) (*domain.User, error)
	ChangePassword(ctx context.Context, p domain.Principal, current, next, remoteAddr string) error
	Logout(ctx context.Context, p domain.Principal) error
}

// ownerService knows what owners may have, and have.
type ownerService interface {
	Has(ctx context.Context, p domain.Principal) (domain.Limits, domain.OwnerUse, error)
}

type selfController struct {
	self   selfService
	owners ownerService
}

// get returns who calls.
//
//	@Summary		Who am I?
//	@ID			getMe
//	@Description	The user, the role and the tenant of the caller, what it may have (`limits`, 0 for any number) and what it has (`used`). The built-in admin of open mode is no user: `user` is null. To who came with a portal link it says in `portal` what that is for, and nothing of whoever made it.
//	@Tags			login
//	@Security		BearerAuth
//	@Produce		json
//	@Success		200				{object}	model.Me
//	@Failure		401,403,500,503	{object}	model.Problem
//	@Router			/me [get]
//	@x-portal			"always"
func (s *selfController) get(c *gin.Context) error {
	p := middleware.Principal(c)
	if p.ByLink() {
		return writeJSON(c, http.StatusOK, model.FromLinkHolder(p))
	}
	user, err := s.self.Self(c.Request.Context(), p)
	if err != nil {
		return err
	}
	limits, use, err := s.owners.Has(c.Request.Context(), p)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, model.FromSelf(p, user, &limits, &use))
}

// changePassword changes the caller's password.
//
//	@Summary		Change one's own password
//	@ID			changePassword
//	@Description	All tokens of the caller end, this one too: log in again. A wrong `current` is 422 `wrong_password` and counts as a failed login. The new password has at least 12 characters, and must not be easy to guess.
//	@Tags			login
//	@Security		BearerAuth
//	@Accept			json
//	@Produce		json
//	@Param			body										body	model.ChangePassword	true	"The current password and the new one"
//	@Success		204											"The password is changed"
//	@Failure		400,401,403,408,409,413,415,422,429,500,503	{object}	model.Problem
//	@Router			/me/password [put]
func (s *selfController) changePassword(c *gin.Context) error {
	var body model.ChangePassword
	if _, err := readObject(c, &body); err != nil {
		return err
	}
	current, next, err := body.Domain()
	if err != nil {
		return err
	}
	if err := s.self.ChangePassword(c.Request.Context(), middleware.Principal(c), current, next, c.ClientIP()); err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}

// logout ends the caller's tokens.
//
//	@Summary		Log out everywhere
//	@ID			logout
//	@Description	All tokens of the caller end, on every replica within 5 seconds, and with them its streams.
//	@Tags			login
//	@Security		BearerAuth
//	@Produce		json
//	@Success		204					"All tokens of the caller have ended"
//	@Failure		401,403,409,500,503	{object}	model.Problem
//	@Router			/logout [post]
func (s *selfController) logout(c *gin.Context) error {
	if err := s.self.Logout(c.Request.Context(), middleware.Principal(c)); err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}
