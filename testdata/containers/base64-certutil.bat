@echo off
certutil -decode %0 a.exe
exit
-----BEGIN CERTIFICATE-----
TVogS0lZT01FLU1BUktFUiwgd2hpY2ggaXMgbm8gcHJvZ3JhbSBNWiBLSVlPTUUt
TUFSS0VSLCB3aGljaCBpcyBubyBwcm9ncmFtIE1aIEtJWU9NRS1NQVJLRVIsIHdo
aWNoIGlzIG5vIHByb2dyYW0gTVogS0lZT01FLU1BUktFUiwgd2hpY2ggaXMgbm8g
cHJvZ3JhbSA=
-----END CERTIFICATE-----
