# shim
from nslib.report.leaderboard import read_folder as adopted
from nslib.report.leaderboard import write_page as build
