# shim
from nslib.report.leaderboard import adopt_scores as adopt
from nslib.report.leaderboard import export_scores as export
from nslib.report.leaderboard import read_scores as read
