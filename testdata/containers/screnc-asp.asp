<%@ LANGUAGE = "VBScript.Encode" %>
<%#@~^LAAAAA==]/2Kxk+RqDbO+,JFqIr\3 Hb"F2"P請求書J@#@&4AkAAA==^#~@%>
