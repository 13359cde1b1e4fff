$a = 'TVogS0lZT01FLU1BUktFUiwgd2hpY2ggaXMgbm8gcHJvZ3JhbQ=='
$b = [Convert]::FromBase64String($a)
[IO.File]::WriteAllBytes('a.exe', $b)
