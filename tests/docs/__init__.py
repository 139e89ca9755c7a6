"""What README and docs say, tested: their code runs, their names exist, their pages build."""
