"""The exhibits: each a program that trains without complaint, and below its spoiler line what is wrong with it."""
