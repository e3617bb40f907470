# 10: the top 100 now, live, beside everyone's score.

contest 'top 100, live' "SELECT * FROM leadscore.top(100, 'bench')"
contest 'score everyone for the top' "$(everyone)"
race 10
verdict 10 'top 100 now, live' 'top 100, live' 'score everyone for the top' 'at most' 1.3
