package controller

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"

	"lanekeeper/domain"
	"lanekeeper/model"
)

// loginService checks passwords and issues tokens.
type loginService interface {
	Login(ctx context.Context, email, password, remoteAddr string) (domain.Grant, error)
}

type loginController struct {
	login loginService
}

// create logs a user in.
//
//	@Summary		Log in
//	@ID			login
//	@Description	Returns a token for the header `Authorization`, where it may stand with or without `Bearer `. Nothing tells an unknown email from a wrong password. Logins that fail count for email and address together, and more slowly for the address: 429 `too_many_logins` says when to try again. 503 `logins_busy` says that too many log in at a time.
//	@Tags			login
//	@Accept			json
//	@Produce		json
//	@Param			body									body		model.Login	true	"Email and password"
//	@Success		200										{object}	model.Token
//	@Failure		400,401,403,408,413,415,422,429,500,503	{object}	model.Problem
//	@Router			/login [post]
func (l *loginController) create(c *gin.Context) error {
	var body model.Login
	if _, err := readObject(c, &body); err != nil {
		return err
	}
	email, password, err := body.Domain()
	if err != nil {
		return err
	}
	grant, err := l.login.Login(c.Request.Context(), email, password, c.ClientIP())
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, model.FromGrant(&grant))
}
