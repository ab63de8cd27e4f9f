"""The course: graders of its exercises, the bug zoo, and the lab hour in which the class is the annotator."""
