@echo off
certutil -decode %0 a.exe
exit
-----BEGIN CERTIFICATE-----
TVogbm90aGluZyBhdCBhbGwsIHdoaWNoIGlzIG5vIHByb2dyYW0gTVogbm90aGlu
ZyBhdCBhbGwsIHdoaWNoIGlzIG5vIHByb2dyYW0gTVogbm90aGluZyBhdCBhbGws
IHdoaWNoIGlzIG5vIHByb2dyYW0gTVogbm90aGluZyBhdCBhbGwsIHdoaWNoIGlz
IG5vIHByb2dyYW0g
-----END CERTIFICATE-----
