namespace w8a8 {}
