"""Cursor pages in the order of ids: a page never skips or repeats a row while others are added."""

from rest_framework.pagination import CursorPagination


class IdCursorPagination(CursorPagination):
    ordering = "id"
    page_size = 100
    page_size_query_param = "limit"
    max_page_size = 1_000
