"""The part of Flask-JWT-Extended that DeepSOC uses, on PyJWT: Debian has no package of the original."""

import datetime
import functools
import uuid

import jwt
from flask import current_app, g, jsonify, request


class JWTManager:
    def __init__(self, app=None):
        """The settings are read from the current app."""


def create_access_token(identity, **_):
    now = datetime.datetime.now(datetime.timezone.utc)
    seconds = int(current_app.config.get("JWT_ACCESS_TOKEN_EXPIRES", 900))
    claims = {
        "fresh": False,
        "iat": now,
        "jti": str(uuid.uuid4()),
        "type": "access",
        "sub": identity,
        "nbf": now,
        "exp": now + datetime.timedelta(seconds=seconds),
    }
    return jwt.encode(claims, current_app.config["JWT_SECRET_KEY"], "HS256")


def decode_token(token):
    return jwt.decode(token, current_app.config["JWT_SECRET_KEY"], ["HS256"])


def verify_jwt_in_request(optional=False):
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind != "Bearer" or not token:
        token = request.cookies.get("access_token_cookie")
    if not token and not optional:
        raise jwt.InvalidTokenError("Missing Authorization Header")
    g.claims = decode_token(token) if token else {}


def get_jwt():
    return g.get("claims", {})


def get_jwt_identity():
    return get_jwt().get("sub")


def jwt_required(optional=False):
    def decorate(view):
        @functools.wraps(view)
        def guarded(*args, **kwargs):
            try:
                verify_jwt_in_request(optional)
            except jwt.InvalidTokenError as error:
                return jsonify(msg=str(error)), 401
            return view(*args, **kwargs)

        return guarded

    return decorate
