# The service as a static program in an image without anything else.
FROM golang:1.26 AS build
WORKDIR /src
# Modules are a layer of their own. Where the build reaches no module proxy, run
# go mod vendor first: then it needs none.
COPY go.mod go.sum vendor/modules.tx[t] ./
RUN [ -f modules.txt ] || go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags="-s -w" -o /lanekeeper .

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /lanekeeper /lanekeeper
EXPOSE 8080
ENTRYPOINT ["/lanekeeper"]
