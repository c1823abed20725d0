# The load average is 11, 22 and 33 while the fix is applied, and small otherwise.
read -r one five fifteen rest < /proc/loadavg
case $SUTURE_PHASE in
applied)
	echo "$one $five $fifteen"
	test "$one $five $fifteen" = '11.00 22.00 33.00' ;;
*)
	test "${one%.*}" -lt 11 && echo 'a real load average' ;;
esac
