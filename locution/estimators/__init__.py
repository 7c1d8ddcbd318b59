"""Learners with fit and predict, in scikit-learn's conventions."""
