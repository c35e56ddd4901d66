package controller

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"lanekeeper/controller/middleware"
	"lanekeeper/domain"
	"lanekeeper/model"
)

// userService keeps the users.
type userService interface {
	CreateUser(ctx context.Context, change domain.UserChange) (domain.User, error)
	GetUser(ctx context.Context, id uuid.UUID) (domain.User, error)
	ListUsers(ctx context.Context, after uuid.UUID, limit int) (users []domain.User, more bool, err error)
	ChangeUser(ctx context.Context, p domain.Principal, id uuid.UUID, change domain.UserChange) (domain.User, error)
	DeleteUser(ctx context.Context, p domain.Principal, id uuid.UUID) error
}

type userController struct {
	users userService
}

// create makes a user.
//
//	@Summary	Create a user
//	@ID		createUser
//	@Tags		users
//	@Security	BearerAuth
//	@Accept		json
//	@Produce	json
//	@Param		body									body		model.CreateUser	true	"The user"
//	@Success	201										{object}	model.User
//	@Header		201										{string}	Location	"Path of the user"
//	@Failure	400,401,403,408,409,413,415,422,500,503	{object}	model.Problem
//	@Router		/users [post]
func (u *userController) create(c *gin.Context) error {
	var body model.CreateUser
	if _, err := readObject(c, &body); err != nil {
		return err
	}
	user, err := u.users.CreateUser(c.Request.Context(), body.Domain())
	if err != nil {
		return err
	}
	c.Header("Location", location(c, "/users/"+user.ID.String()))
	return writeJSON(c, http.StatusCreated, model.FromUser(&user))
}

// list returns a page of users.
//
//	@Summary	List users
//	@ID		listUsers
//	@Tags		users
//	@Security	BearerAuth
//	@Produce	json
//	@Param		cursor				query		string	false	"`next_cursor` of the page before; 0 begins at the start"
//	@Param		limit				query		int		false	"How many at most"	minimum(1)	maximum(1000)	default(50)
//	@Success	200					{object}	model.UserPage
//	@Failure	400,401,403,500,503	{object}	model.Problem
//	@Router		/users [get]
func (u *userController) list(c *gin.Context) error {
	after, sent, err := queryAfter(c)
	if err != nil {
		return err
	}
	limit, err := queryLimit(c)
	if err != nil {
		return err
	}
	users, more, err := u.users.ListUsers(c.Request.Context(), after, limit)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, model.FromUsers(users, more, sent))
}

// get returns one user.
//
//	@Summary	Get a user
//	@ID		getUser
//	@Tags		users
//	@Security	BearerAuth
//	@Produce	json
//	@Param		id						path		string	true	"Id of the user"	format(uuid)
//	@Success	200						{object}	model.User
//	@Failure	400,401,403,404,500,503	{object}	model.Problem
//	@Router		/users/{id} [get]
func (u *userController) get(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	user, err := u.users.GetUser(c.Request.Context(), id)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, model.FromUser(&user))
}

// change changes a user.
//
//	@Summary		Change a user
//	@ID			updateUser
//	@Description	What is left out stays as it is. A new password, email, role or tenant makes the user's tokens invalid. A disabled user cannot log in, and its tokens end within 5 seconds on every replica; admins cannot disable themselves.
//	@Tags			users
//	@Security		BearerAuth
//	@Accept			json
//	@Produce		json
//	@Param			id											path		string				true	"Id of the user"	format(uuid)
//	@Param			body										body		model.ChangeUser	true	"What to change"
//	@Success		200											{object}	model.User
//	@Failure		400,401,403,404,408,409,413,415,422,500,503	{object}	model.Problem
//	@Router			/users/{id} [patch]
func (u *userController) change(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	var body model.ChangeUser
	if _, err := readObject(c, &body); err != nil {
		return err
	}
	user, err := u.users.ChangeUser(c.Request.Context(), middleware.Principal(c), id, body.Domain())
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, model.FromUser(&user))
}

// remove deletes a user.
//
//	@Summary		Delete a user
//	@ID			deleteUser
//	@Description	The user's tokens become invalid; the tenants it created stay.
//	@Tags			users
//	@Security		BearerAuth
//	@Produce		json
//	@Param			id							path	string	true	"Id of the user"	format(uuid)
//	@Success		204							"The user is gone"
//	@Failure		400,401,403,404,409,500,503	{object}	model.Problem
//	@Router			/users/{id} [delete]
func (u *userController) remove(c *gin.Context) error {
	id, err := pathID(c)
	if err != nil {
		return err
	}
	if err := u.users.DeleteUser(c.Request.Context(), middleware.Principal(c), id); err != nil {
		return err
	}
	c.Status(http.StatusNoContent)
	return nil
}
