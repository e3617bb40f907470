# 17: evaluating a model on everybody, beside everyone's score. 18: fitting one, beside the same. 19: previewing a change, beside the same.

at=$(sql -c 'SELECT at FROM bench.clock')
question="'purchase', '14 days', ARRAY['$at'::timestamptz - interval '15 days']"
contest 'score everyone to learn' "$(everyone)"
if wanted 17; then
    contest 'evaluate everyone' "SELECT * FROM leadscore.evaluate((SELECT leadscore.scorecard('bench')), $question)"
fi
if wanted 18; then
    contest 'fit to everyone' "SELECT leadscore.fit((SELECT leadscore.scorecard('bench')), $question)"
fi
if wanted 19; then
    contest 'preview for everyone' "SELECT * FROM leadscore.preview((SELECT jsonb_set(leadscore.scorecard('bench'), '{weights,0,points}', '3')), 'bench', '$at')"
fi
race 17

if wanted 17; then
    verdict 17 'evaluate' 'evaluate everyone' 'score everyone to learn' 'at most' 3
fi
if wanted 18; then
    verdict 18 'fit to convergence' 'fit to everyone' 'score everyone to learn' 'at most' 20
fi
if wanted 19; then
    verdict 19 'preview' 'preview for everyone' 'score everyone to learn' 'at most' 3
fi
