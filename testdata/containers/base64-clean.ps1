$a = 'TVogbm90aGluZyBhdCBhbGwsIHdoaWNoIGlzIG5vIHByb2dyYW0='
$b = [Convert]::FromBase64String($a)
[IO.File]::WriteAllBytes('a.exe', $b)
